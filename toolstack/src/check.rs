//! What a spec may say.
//!
//! Owns what types cannot: sizes and texts that no hypervisor could use. Whether a particular
//! hypervisor can is found out when it is asked.

use jitsu_proto::{DomainSpec, Guest};

/// More is surely a mistake: 1 TiB.
const MEMORY_MIB_MAX: u32 = 1 << 20;
const VCPUS_MAX: u32 = 512;

/// What is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// An amount out of bounds.
    #[error("{field} is {value}; allowed are 1 to {max}")]
    Amount {
        /// Which.
        field: &'static str,
        /// How much.
        value: u32,
        /// The most.
        max: u32,
    },
    /// A command without a program.
    #[error("guest.command.argv is empty: it begins with the program")]
    NoProgram,
    /// A variable that no environment can hold.
    #[error("guest.command.env: {0:?} is no name of a variable")]
    Variable(String),
    /// A text with a NUL byte.
    #[error("{0} holds a NUL byte")]
    Nul(&'static str),
    /// A kernel without an image.
    #[error("guest.kernel.image is empty")]
    NoImage,
}

/// Refuses a spec that cannot be right.
pub fn domain(spec: &DomainSpec) -> Result<(), SpecError> {
    amount("memory_mib", spec.memory_mib, MEMORY_MIB_MAX)?;
    amount("vcpus", spec.vcpus, VCPUS_MAX)?;
    let has_nul = |text: &String| text.contains('\0');
    match &spec.guest {
        Guest::Command { argv, .. } if argv.first().is_none_or(String::is_empty) => {
            Err(SpecError::NoProgram)
        }
        Guest::Command { argv, .. } if argv.iter().any(has_nul) => {
            Err(SpecError::Nul("guest.command.argv"))
        }
        Guest::Command { env, .. } if env.values().any(has_nul) => {
            Err(SpecError::Nul("guest.command.env"))
        }
        Guest::Command { env, .. } => match env.keys().find(|name| !is_variable(name)) {
            Some(name) => Err(SpecError::Variable(name.clone())),
            None => Ok(()),
        },
        Guest::Hello { port, .. } => amount("guest.hello.port", (*port).into(), u16::MAX.into()),
        Guest::Kernel { image, .. } if image.is_empty() => Err(SpecError::NoImage),
        Guest::Kernel { .. } => Ok(()),
    }
}

fn amount(field: &'static str, value: u32, max: u32) -> Result<(), SpecError> {
    if (1..=max).contains(&value) { Ok(()) } else { Err(SpecError::Amount { field, value, max }) }
}

fn is_variable(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}
