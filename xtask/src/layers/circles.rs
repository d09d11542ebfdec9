//! Files that name each other in a circle.
//!
//! References between files -> the shortest circle of each tangle. Must not know what a file is for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::crates::{Edge, File};

/// One circle a tangle, the shortest; the last edge leads back to the file of the first. A parent and the files of its
/// own module may name each other.
pub(crate) fn circles(files: &[File], edges: &[Edge]) -> Vec<Vec<Edge>> {
    let is_family = |edge: &Edge| match (files.get(edge.from), files.get(edge.to)) {
        (Some(from), Some(to)) => from.module.starts_with(&to.module) || to.module.starts_with(&from.module),
        _ => false,
    };
    let mut out: BTreeMap<usize, Vec<&Edge>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| !is_family(edge)) {
        out.entry(edge.from).or_default().push(edge);
    }
    let mut seen = BTreeSet::new();
    let mut found: Vec<Vec<Edge>> = Vec::new();
    for start in out.keys() {
        let Some(circle) = shortest(*start, &out) else { continue };
        let members: BTreeSet<usize> = circle.iter().map(|edge| edge.from).collect();
        if seen.insert(members) {
            found.push(circle);
        }
    }
    found
}

/// The shortest way from a file back to itself.
fn shortest(start: usize, out: &BTreeMap<usize, Vec<&Edge>>) -> Option<Vec<Edge>> {
    let mut by: BTreeMap<usize, &Edge> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        for edge in out.get(&at).into_iter().flatten() {
            if by.contains_key(&edge.to) {
                continue;
            }
            by.insert(edge.to, edge);
            if edge.to == start {
                return Some(way_back(start, &by));
            }
            open.push_back(edge.to);
        }
    }
    None
}

fn way_back(start: usize, by: &BTreeMap<usize, &Edge>) -> Vec<Edge> {
    let mut way = Vec::new();
    let mut at = start;
    while let Some(edge) = by.get(&at) {
        way.push((*edge).clone());
        at = edge.from;
        if at == start {
            break;
        }
    }
    way.reverse();
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(module: &str) -> File {
        File { name: module.to_owned(), module: module.split("::").map(str::to_owned).collect() }
    }

    fn found(modules: &[&str], edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
        let files: Vec<File> = modules.iter().map(|module| file(module)).collect();
        let edges: Vec<Edge> =
            edges.iter().map(|(from, to)| Edge { from: *from, line: 1, to: *to }).collect();
        let circles = circles(&files, &edges);
        circles.iter().map(|circle| circle.iter().map(|edge| edge.from).collect()).collect()
    }

    #[test]
    fn two_files_that_name_each_other_are_one_circle() {
        assert_eq!(found(&["mm::a", "mm::b", "mm::c"], &[(0, 1), (1, 0), (1, 2)]), [[0, 1]]);
    }

    #[test]
    fn the_shortest_way_round_is_told() {
        let edges = [(0, 1), (1, 2), (2, 0), (2, 1)];
        assert_eq!(found(&["m::a", "m::b", "m::c"], &edges), [vec![0, 1, 2], vec![1, 2]]);
    }

    #[test]
    fn a_parent_and_its_files_may_name_each_other() {
        assert_eq!(found(&["mm", "mm::a", "mm::a::b"], &[(0, 1), (1, 0), (2, 0), (0, 2)]), [[0; 0]; 0]);
    }

    #[test]
    fn without_a_circle_there_is_none() {
        assert_eq!(found(&["a", "b", "c"], &[(0, 1), (1, 2), (0, 2)]), [[0; 0]; 0]);
    }
}
