//! Owns steps and paths: where in a tree something is. Must not know what is there.

use smol_str::SmolStr;
use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, NameFault};

/// The longest step, in bytes.
pub const STEP_BYTES_MAX: usize = 255;
/// The most steps in a path. Bounds every recursion over a tree that was built path by path.
pub const PATH_STEPS_MAX: usize = 256;

/// One name in a directory: not empty, no `/`, no NUL, neither `.` nor `..`, at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(SmolStr);

impl Step {
    /// Checks a step.
    pub fn new(step: &str) -> Result<Step, NameError> {
        check_step(step, step, 0)?;
        Ok(Step(step.into()))
    }

    /// The step as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_step(whole: &str, step: &str, at: usize) -> Result<(), NameError> {
    let refuse = |fault, at| Err(NameError::new(whole, fault, at));
    if step.is_empty() {
        return refuse(NameFault::Empty, at);
    }
    if step.len() > STEP_BYTES_MAX {
        return refuse(NameFault::TooLong(STEP_BYTES_MAX), at + STEP_BYTES_MAX);
    }
    if let Some(offset) = step.find(['/', '\0']) {
        let character = char::from(step.as_bytes()[offset]);
        return refuse(NameFault::Character(character), at + offset);
    }
    if step == "." || step == ".." {
        return refuse(NameFault::Reserved, at);
    }
    Ok(())
}

impl FromStr for Step {
    type Err = NameError;

    fn from_str(step: &str) -> Result<Step, NameError> {
        Step::new(step)
    }
}

impl AsRef<str> for Step {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where something is in a tree: steps from the root, which is the empty path.
///
/// ```
/// use jitsu_store::Path;
/// let path: Path = "domains/www/wanted".parse()?;
/// assert!(path.starts_with(&"domains/www".parse()?));
/// assert_eq!(path.parent().unwrap().to_string(), "domains/www");
/// assert_eq!("".parse::<Path>()?, Path::root());
/// # Ok::<(), jitsu_store::NameError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Step>);

impl Path {
    /// The root of a tree.
    pub const fn root() -> Path {
        Path(Vec::new())
    }

    /// A path of these steps.
    pub fn from_steps(steps: impl IntoIterator<Item = Step>) -> Result<Path, NameError> {
        Path(steps.into_iter().collect()).checked()
    }

    /// The steps from the root on.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// An iterator over the steps from the root on.
    pub fn iter(&self) -> std::slice::Iter<'_, Step> {
        self.0.iter()
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The last step; the root has none.
    pub fn last(&self) -> Option<&Step> {
        self.0.last()
    }

    /// The path without its last step; the root has no parent.
    pub fn parent(&self) -> Option<Path> {
        let (_, before) = self.0.split_last()?;
        Some(Path(before.to_vec()))
    }

    /// Goes one step down.
    pub fn push(&mut self, step: Step) -> Result<(), NameError> {
        if self.0.len() == PATH_STEPS_MAX {
            let fault = NameFault::TooDeep(PATH_STEPS_MAX);
            return Err(NameError::new(step.as_str(), fault, 0));
        }
        self.0.push(step);
        Ok(())
    }

    /// This path followed by `below`.
    pub fn join(&self, below: &Path) -> Result<Path, NameError> {
        Path(self.0.iter().chain(&below.0).cloned().collect()).checked()
    }

    /// Whether `above` is this path or leads to it.
    pub fn starts_with(&self, above: &Path) -> bool {
        self.0.starts_with(&above.0)
    }

    /// A path that is known to be short enough, because the tree it was found in is.
    pub(crate) fn found(steps: Vec<Step>) -> Path {
        Path(steps)
    }

    fn checked(self) -> Result<Path, NameError> {
        if self.0.len() > PATH_STEPS_MAX {
            let fault = NameFault::TooDeep(PATH_STEPS_MAX);
            return Err(NameError::new(&self.to_string(), fault, 0));
        }
        Ok(self)
    }
}

impl FromStr for Path {
    type Err = NameError;

    fn from_str(path: &str) -> Result<Path, NameError> {
        if path.is_empty() {
            return Ok(Path::root());
        }
        let mut steps = Vec::new();
        let mut at = 0;
        for step in path.split('/') {
            if steps.len() == PATH_STEPS_MAX {
                return Err(NameError::new(path, NameFault::TooDeep(PATH_STEPS_MAX), at));
            }
            check_step(path, step, at)?;
            steps.push(Step(step.into()));
            at += step.len() + 1;
        }
        Ok(Path(steps))
    }
}

impl From<Step> for Path {
    fn from(step: Step) -> Path {
        Path(vec![step])
    }
}

impl<'a> IntoIterator for &'a Path {
    type Item = &'a Step;
    type IntoIter = std::slice::Iter<'a, Step>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            f.write_str(step.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
