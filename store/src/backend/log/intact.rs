//! Owns the intact objects of a log that is examined: where each is, what it refers to, and what
//! a commit says of itself. Must not know how they are found (`scan`), nor what is wrong with the
//! others.

use std::collections::HashMap;

use super::graph::Graph;
use super::numbers::Number;
use crate::codec::ObjectKind;
use crate::id::Id;
use crate::references::CommitFacts;

/// The intact objects of a log, and the graph in which they have their numbers.
#[derive(Default)]
pub(super) struct Intact {
    graph: Graph,
    /// By number.
    places: Vec<Option<IntactAt>>,
    commits: HashMap<Number, CommitFacts>,
}

/// Where an intact object is.
#[derive(Clone, Copy)]
pub(super) struct IntactAt {
    pub(super) kind: ObjectKind,
    pub(super) file: u32,
    /// Where its own bytes begin.
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// An intact object that belongs to no graph yet.
pub(super) struct Object {
    pub(super) at: IntactAt,
    pub(super) references: Vec<Id>,
    /// Of a commit.
    pub(super) commit: Option<CommitFacts>,
}

impl Intact {
    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The number of an object, intact or not.
    pub(super) fn number(&mut self, id: &Id) -> Number {
        self.graph.number(id)
    }

    /// Takes in an object; where it is already, it is found here from now on.
    pub(super) fn insert(&mut self, id: &Id, object: Object) -> Number {
        let number = self.graph.number(id);
        if !self.has(number) {
            self.graph.link(number, &object.references);
            self.commits.extend(object.commit.map(|facts| (number, facts)));
        }
        if self.places.len() < self.graph.len() {
            self.places.resize(self.graph.len(), None);
        }
        self.places[number as usize] = Some(object.at);
        number
    }

    /// Forgets an object, but for its number.
    pub(super) fn remove(&mut self, number: Number) {
        self.places[number as usize] = None;
        self.commits.remove(&number);
        self.graph.unlink(number);
    }

    /// Says that a commit lacks its tree, as it may.
    pub(super) fn let_tree_go(&mut self, commit: Number) {
        self.graph.let_first_go(commit);
    }

    pub(super) fn get(&self, number: Number) -> Option<&IntactAt> {
        self.places.get(number as usize)?.as_ref()
    }

    pub(super) fn has(&self, number: Number) -> bool {
        self.get(number).is_some()
    }

    pub(super) fn has_id(&self, id: &Id) -> bool {
        self.graph.find(id).is_some_and(|number| self.has(number))
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Number, &IntactAt)> {
        self.graph.all().filter_map(|number| Some((number, self.get(number)?)))
    }

    pub(super) fn count(&self) -> usize {
        self.iter().count()
    }

    /// All commits, in no order.
    pub(super) fn commits(&self) -> impl Iterator<Item = (Number, &CommitFacts)> {
        self.commits.iter().map(|(number, facts)| (*number, facts))
    }

    /// What the commit with this number says of itself, if that is one.
    pub(super) fn commit(&self, number: Number) -> Option<&CommitFacts> {
        self.commits.get(&number)
    }
}
