//! Owns the tests of what branches reach: it is what a set for each branch says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::graph::tests::Model;
use super::*;
use crate::id::Id;

/// The length of an object that is there.
fn len(model: &Model, id: &Id) -> Option<usize> {
    model.references.contains_key(id).then(|| usize::from(id.as_bytes()[0]) + 1)
}

/// With a set for each head.
fn counted(model: &Model, heads: &[Id]) -> (Vec<Reach>, Amount) {
    let sets: Vec<BTreeSet<Id>> = heads.iter().map(|head| model.reached([*head])).collect();
    let mut times: BTreeMap<Id, usize> = BTreeMap::new();
    for id in sets.iter().flatten() {
        *times.entry(*id).or_default() += 1;
    }
    let mut garbage = Amount::default();
    for id in model.met.iter().filter(|id| !times.contains_key(id)) {
        len(model, id).into_iter().for_each(|len| garbage.add(len));
    }
    let reaches = sets.iter().map(|set| {
        let mut reach = Reach::default();
        for id in set {
            let amount = if times[id] == 1 { &mut reach.own } else { &mut reach.shared };
            len(model, id).into_iter().for_each(|len| amount.add(len));
        }
        reach
    });
    (reaches.collect(), garbage)
}

proptest! {
    /// Of one group of heads and of several, of which some are the same.
    #[test]
    fn what_heads_reach_is_what_a_set_for_each_says(
        model in Model::any(),
        heads in prop_oneof![
            prop::collection::vec(any::<Index>(), 0..5),
            prop::collection::vec(any::<Index>(), 60..140),
        ],
    ) {
        let graph = model.graph();
        let heads: Vec<Id> = heads.iter().map(|it| *it.get(&model.met)).collect();
        let numbers: Vec<Number> =
            heads.iter().map(|id| graph.find(id).expect("it was met")).collect();
        let reached = reach(&graph, &numbers, |number| len(&model, &graph.id(number)));
        prop_assert_eq!(reached, counted(&model, &heads));
    }
}
