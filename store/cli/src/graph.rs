//! The drawing beside a log: which commits come from which.
//!
//! Owns the lanes, each of which leads down to a commit that is still to come. Commits come
//! before their parents. It must not know what a commit is.
//!
//! ```text
//!   *   a merge        its parents take a lane each
//!   |\
//!   | * …              a lane that leads where another one does ends there
//!   |/
//!   * …
//! ```

use std::fmt::Write as _;

/// A drawing, as far as it is drawn.
pub(crate) struct Graph<T> {
    lanes: Vec<T>,
}

impl<T> Default for Graph<T> {
    fn default() -> Graph<T> {
        Graph { lanes: Vec::new() }
    }
}

impl<T: PartialEq + Copy> Graph<T> {
    /// The lines for one commit, `text` beside it.
    pub(crate) fn draw(&mut self, commit: T, parents: &[T], text: &str) -> String {
        let mut drawn = String::new();
        let at = self.lanes.iter().position(|lane| *lane == commit);
        let at = at.unwrap_or_else(|| {
            self.lanes.push(commit);
            self.lanes.len() - 1
        });
        while let Some(twin) = self.lanes.iter().skip(at + 1).position(|lane| *lane == commit) {
            self.join(at, at + 1 + twin, &mut drawn);
        }
        let lanes: Vec<&str> =
            (0..self.lanes.len()).map(|lane| if lane == at { "*" } else { "|" }).collect();
        let mut below = String::new();
        self.descend(at, parents, &mut below);
        // The text stands clear of what begins below it.
        let width = (2 * self.lanes.len()).saturating_sub(1);
        let _ = writeln!(drawn, "{:width$} {text}", lanes.join(" "));
        drawn + &below
    }

    /// Ends a lane in one to its left, and moves those to its right up.
    fn join(&mut self, into: usize, lane: usize, drawn: &mut String) {
        let mut row = Row::new();
        for here in 0..self.lanes.len() {
            match here {
                _ if here >= lane => row.put(2 * here - 1, '/'),
                _ if here > into => row.put(2 * here - 1, '_').put(2 * here, '|'),
                _ => row.put(2 * here, '|'),
            };
        }
        row.end(drawn);
        self.lanes.remove(lane);
    }

    /// Leads the lane of a commit on to its parents.
    fn descend(&mut self, at: usize, parents: &[T], drawn: &mut String) {
        let Some((first, others)) = parents.split_first() else {
            let mut row = Row::new();
            for here in (0..self.lanes.len()).filter(|here| *here != at) {
                if here < at {
                    row.put(2 * here, '|')
                } else {
                    row.put(2 * here - 1, '/')
                };
            }
            self.lanes.remove(at);
            if at < self.lanes.len() {
                row.end(drawn);
            }
            return;
        };
        self.lanes[at] = *first;
        for parent in others.iter().rev() {
            let mut row = Row::new();
            // A lane beside it that leads there already is joined from this side.
            let is_beside = self.lanes.get(at + 1) == Some(parent);
            for here in 0..self.lanes.len() {
                if here > at && !is_beside {
                    row.put(2 * here + 1, '\\');
                } else {
                    row.put(2 * here, '|');
                }
            }
            row.put(2 * at + 1, '\\').end(drawn);
            if !is_beside {
                self.lanes.insert(at + 1, *parent);
            }
        }
    }
}

/// A line of the drawing.
struct Row(Vec<char>);

impl Row {
    fn new() -> Row {
        Row(Vec::new())
    }

    fn put(&mut self, at: usize, c: char) -> &mut Row {
        self.0.resize(self.0.len().max(at + 1), ' ');
        self.0[at] = c;
        self
    }

    fn end(&self, drawn: &mut String) {
        drawn.extend(&self.0);
        drawn.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws commits that are numbers, each with its parents.
    #[track_caller]
    fn check(commits: &[(u32, &[u32])], expected: &[&str]) {
        let mut graph = Graph::default();
        let draw =
            |(commit, parents): &(u32, &[u32])| graph.draw(*commit, parents, &commit.to_string());
        let drawn: String = commits.iter().map(draw).collect();
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected, "\n{drawn}");
    }

    #[test]
    fn a_line_is_a_line() {
        check(&[(3, &[2]), (2, &[1]), (1, &[])], &["* 3", "* 2", "* 1"]);
    }

    #[test]
    fn a_merge_opens_a_lane_that_ends_where_it_began() {
        check(
            &[(4, &[2, 3]), (3, &[1]), (2, &[1]), (1, &[])],
            &["*   4", "|\\", "| * 3", "* | 2", "|/", "* 1"],
        );
    }

    #[test]
    fn a_branch_merged_at_every_step_keeps_one_lane() {
        check(
            &[(6, &[5, 4]), (5, &[3, 2]), (4, &[2]), (3, &[]), (2, &[])],
            &["*   6", "|\\", "* |   5", "|\\ \\", "| | * 4", "* | | 3", " / /", "|/", "* 2"],
        );
        check(
            &[(6, &[5, 4]), (4, &[2]), (5, &[3, 2]), (3, &[]), (2, &[])],
            &["*   6", "|\\", "| * 4", "* | 5", "|\\|", "* | 3", " /", "* 2"],
        );
    }

    #[test]
    fn lanes_that_cross_and_many_parents() {
        check(
            &[(9, &[6, 7, 8]), (8, &[5]), (7, &[4]), (6, &[5]), (5, &[4]), (4, &[])],
            &[
                "*     9", "|\\", "|\\ \\", "| | * 8", "| * | 7", "* | | 6", "|_|/", "* | 5", "|/",
                "* 4",
            ],
        );
    }
}
