//! Owns the tests of the graph of objects: it says what a plain map of sets says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

/// Objects in the order in which they can have been made, each with what it refers to.
#[derive(Clone, Debug)]
pub(in super::super) struct Model {
    /// By object; those that are not there are not in it.
    pub(in super::super) references: BTreeMap<Id, Vec<Id>>,
    /// Those whose first reference may lead nowhere.
    optional: BTreeSet<Id>,
    /// All of them, in the order in which they are met.
    pub(in super::super) met: Vec<Id>,
}

impl Model {
    pub(in super::super) fn any() -> impl Strategy<Value = Model> {
        let object = (prop::collection::vec(any::<Index>(), 0..5), 0u8..8, any::<u32>());
        prop::collection::vec(object, 1..60).prop_map(|objects| {
            let id = |n: usize| Id::of(&n.to_le_bytes());
            let mut model =
                Model { references: BTreeMap::new(), optional: BTreeSet::new(), met: Vec::new() };
            let mut met = Vec::new();
            for (n, (below, what, turn)) in objects.into_iter().enumerate() {
                let below = below.into_iter().filter(|_| n > 0).map(|below| id(below.index(n)));
                let below: Vec<Id> = below.collect();
                met.push((turn, id(n)));
                // Of eight one is not there, and of one the first need not be.
                if what == 1 && !below.is_empty() {
                    model.optional.insert(id(n));
                }
                if what > 0 {
                    model.references.insert(id(n), below);
                }
            }
            met.sort();
            model.met = met.into_iter().map(|(_, id)| id).collect();
            model
        })
    }

    fn needed(&self, id: &Id) -> &[Id] {
        let references = self.references.get(id).map_or(&[][..], Vec::as_slice);
        &references[usize::from(self.optional.contains(id))..]
    }

    pub(in super::super) fn reached(&self, from: impl IntoIterator<Item = Id>) -> BTreeSet<Id> {
        let mut line: Vec<Id> = from.into_iter().collect();
        let mut reached = BTreeSet::new();
        while let Some(id) = line.pop() {
            if reached.insert(id) {
                line.extend(self.needed(&id));
            }
        }
        reached
    }

    /// The graph of these objects, made as they are met.
    pub(in super::super) fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for id in &self.met {
            let number = graph.number(id);
            if let Some(references) = self.references.get(id) {
                graph.link(number, references);
            }
            if self.optional.contains(id) {
                graph.let_first_go(number);
            }
        }
        graph
    }
}

fn ids(graph: &Graph, bits: &Bits) -> BTreeSet<Id> {
    let numbers = graph.all().filter(|number| bits.has(*number as usize));
    numbers.map(|number| graph.id(number)).collect()
}

proptest! {
    #[test]
    fn a_graph_says_what_maps_and_sets_say(
        model in Model::any(),
        some in prop::collection::vec(any::<Index>(), 0..4),
    ) {
        let graph = model.graph();
        prop_assert_eq!(graph.len(), model.met.len());
        let name = |numbers: &[Number]| numbers.iter().map(|it| graph.id(*it)).collect::<Vec<Id>>();
        let needing = graph.needing();
        for id in &model.met {
            let number = graph.find(id).expect("it was met");
            prop_assert_eq!(graph.id(number), *id);
            let references = model.references.get(id).cloned().unwrap_or_default();
            prop_assert_eq!(name(graph.references(number)), references);
            prop_assert_eq!(name(graph.needed(number)), model.needed(id));
            let times = |by: &Id| model.needed(by).iter().filter(|below| *below == id).count();
            let mut by = name(needing.of(number));
            by.sort();
            let expected: Vec<Id> = model
                .references
                .keys()
                .flat_map(|by| std::iter::repeat_n(*by, times(by)))
                .collect();
            prop_assert_eq!(by, expected);
        }

        let some: Vec<Id> = some.iter().map(|it| *it.get(&model.met)).collect();
        let numbers = || some.iter().map(|id| graph.find(id).expect("it was met"));
        prop_assert_eq!(ids(&graph, &graph.reached(numbers())), model.reached(some.clone()));
        let some: BTreeSet<Id> = some.iter().copied().collect();
        // All that count, and those alone that are from an odd number.
        let leading = needing.leading_to(numbers(), |_, _| true);
        let leads = |id: &&Id| !model.reached([**id]).is_disjoint(&some);
        prop_assert_eq!(ids(&graph, &leading), model.met.iter().filter(leads).copied().collect());
        let odd = needing.leading_to(numbers(), |by, _| by % 2 == 1);
        let mut expected = some;
        while let Some(more) = model.met.iter().find(|id| {
            let is_odd = graph.find(id).expect("it was met") % 2 == 1;
            is_odd
                && !expected.contains(id)
                && model.needed(id).iter().any(|it| expected.contains(it))
        }) {
            expected.insert(*more);
        }
        prop_assert_eq!(ids(&graph, &odd), expected);
    }

    #[test]
    fn whatever_is_needed_comes_behind_who_needs_it(model in Model::any()) {
        let graph = model.graph();
        let order = graph.descending();
        let turns: BTreeMap<Number, usize> = order.iter().copied().zip(0..).collect();
        prop_assert_eq!((turns.len(), order.len()), (graph.len(), graph.len()));
        for number in graph.all() {
            for below in graph.needed(number) {
                prop_assert!(turns[&number] < turns[below]);
            }
        }
    }

    #[test]
    fn what_is_unlinked_leads_nowhere(model in Model::any(), which in any::<Index>()) {
        let mut graph = model.graph();
        let gone = *which.get(&model.met);
        let number = graph.find(&gone).expect("it was met");
        graph.unlink(number);
        prop_assert!(graph.references(number).is_empty());
        let mut rest = model.clone();
        rest.references.remove(&gone);
        rest.optional.remove(&gone);
        for id in &model.met {
            let reached = graph.reached(graph.find(id));
            prop_assert_eq!(ids(&graph, &reached), rest.reached([*id]));
        }
    }
}

#[test]
fn an_id_keeps_its_number_however_many_come() {
    let mut numbers = Numbers::default();
    let id = |n: u32| Id::of(&n.to_le_bytes());
    assert_eq!(numbers.find(&id(0)), None);
    for n in 0..10_000 {
        assert_eq!(numbers.find(&id(n)), None);
        assert_eq!(numbers.number(&id(n)), n);
        assert_eq!(numbers.number(&id(n / 2)), n / 2);
    }
    assert_eq!(numbers.len(), 10_000);
    for n in 0..10_000 {
        assert_eq!((numbers.find(&id(n)), numbers.id(n)), (Some(n), id(n)));
    }
}
