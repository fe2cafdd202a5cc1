//! Owns the text of a queue: its elements, and where a run of them begins and ends. Must not know
//! how elements are kept.

use super::lines::{Wrong, lines, wrong};
use super::{NoText, Writing};
use crate::contents::{Contents, Held, HeldRun, Queue};

pub(super) fn write(queue: &Queue, to: &mut Writing) -> Result<Vec<u8>, NoText> {
    let Held { runs, next } = queue.held(to.bytes_left as u64)?.ok_or(NoText::TooLarge)?;
    let mut text = "jitsu queue\n".to_owned();
    let mut end = 0;
    for (number, run) in runs.iter().enumerate() {
        if number > 0 || run.start > 0 {
            text += &format!("% from {}\n", run.start);
        }
        for (at, element) in (run.start..).zip(&run.elements) {
            if at == run.lo && at > run.start {
                text += "% front\n";
            }
            if at == run.hi {
                text += "% back\n";
            }
            to.line(element, &mut text)?;
        }
        if run.is_closed {
            text += "% closed\n";
        }
        end = run.hi;
    }
    if next != end {
        text += &format!("% next {next}\n");
    }
    Ok(text.into_bytes())
}

pub(super) fn read(body: &[u8], levels_left: usize) -> Result<Contents, Wrong> {
    let mut runs: Vec<(usize, HeldRun)> = Vec::new();
    let mut next = None;
    for line in lines(body)? {
        let say = |what: &str| Err(wrong(line.number, what));
        if next.is_some() {
            return say("nothing follows `% next`; write `% from` for it, to add elements");
        }
        let Some(remark) = line.remark() else {
            if runs.is_empty() {
                runs.push((line.number, begin(0)));
            }
            let (_, run) = runs.last_mut().expect("BUG: a run that was just begun");
            if run.is_closed {
                return say("no element follows `% closed`; remove that, to add elements");
            }
            run.elements.push(line.item(levels_left)?);
            continue;
        };
        let at = runs.last().map_or(0, |(_, run)| run.start + run.elements.len() as u64);
        match (remark.split_once(' '), runs.last_mut()) {
            (Some(("from", start)), _) => match position(start) {
                Some(start) => runs.push((line.number, begin(start))),
                None => return say("`% from` and a position"),
            },
            (Some(("next", end)), _) => match position(end) {
                Some(end) => next = Some(end),
                None => return say("`% next` and a position"),
            },
            (None, Some((_, run))) if remark == "front" => run.lo = at,
            (None, Some((_, run))) if remark == "back" => run.hi = at,
            (None, Some((_, run))) if remark == "closed" => run.is_closed = true,
            _ => return say("nothing that is said of a queue here"),
        }
    }
    let lines: Vec<usize> = runs.iter().map(|(line, _)| *line).collect();
    let whole = |(_, mut run): (usize, HeldRun)| {
        run.hi = run.hi.min(run.start + run.elements.len() as u64);
        run
    };
    let runs: Vec<HeldRun> = runs.into_iter().map(whole).collect();
    let next = next.unwrap_or_else(|| runs.last().map_or(0, |run| run.hi));
    let queue = Queue::of_held(Held { runs, next });
    queue.map(Contents::Queue).map_err(|(run, why)| wrong(lines[run], format!("here begins {why}")))
}

/// A run of which nothing is known yet but where it begins.
fn begin(start: u64) -> HeldRun {
    HeldRun { start, elements: Vec::new(), lo: start, hi: u64::MAX, is_closed: false }
}

/// A number that can be a position.
fn position(text: &str) -> Option<u64> {
    text.parse().ok().filter(|at| *at <= Queue::POSITIONS_MAX)
}
