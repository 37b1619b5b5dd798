//! The choice of the nodes to look at next. As `git bisect` searches commits; but the graph has branches, each look
//! shows several nodes, and a difference may be hidden for a while.

/// A set of nodes.
#[derive(Debug, Clone)]
struct Set(Vec<u64>);

impl Set {
    fn new(nodes: usize) -> Self {
        Self(vec![0; nodes.div_ceil(64)])
    }

    fn insert(&mut self, node: usize) {
        self.0[node / 64] |= 1 << (node % 64);
    }

    fn contains(&self, node: usize) -> bool {
        self.0[node / 64] >> (node % 64) & 1 == 1
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}

/// The result of a look at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its outputs are the same.
    Same,
    /// One of its outputs differs.
    Differs,
    /// It cannot be looked at.
    Unknown,
}

/// The search for the first node, in the order of the file, that differs.
pub struct Search {
    parents: Vec<Vec<usize>>,
    /// The ancestors of each node, itself included.
    ancestors: Vec<Set>,
    last: usize,
    seen: Vec<Option<Look>>,
}

impl Search {
    /// `last` makes the output; only nodes that lead to it matter. `parents` come before their children.
    pub fn new(parents: Vec<Vec<usize>>, last: usize) -> Self {
        let count = parents.len();
        let mut ancestors: Vec<Set> = Vec::with_capacity(count);
        for (node, from) in parents.iter().enumerate() {
            let mut own = Set::new(count);
            own.insert(node);
            for parent in from {
                own.merge(&ancestors[*parent]);
            }
            ancestors.push(own);
        }
        Self {
            parents,
            ancestors,
            last,
            seen: vec![None; count],
        }
    }

    /// Returns the nodes to look at next, at most `most`; none when the first node that differs is known.
    ///
    /// The nodes are spread over the candidates while the search can be narrowed down, assuming that a difference
    /// persists downstream. After that, all other nodes before the first one found follow, those that lead to it first,
    /// because a difference may have been hidden.
    pub fn next(&self, most: usize) -> Vec<usize> {
        let open = self.open();
        if !open.is_empty() {
            let most = most.min(open.len());
            let spread = (0..most).map(|place| open[(2 * place + 1) * open.len() / (2 * most)]);
            return spread.collect();
        }
        let first = self.first();
        let parents: &[usize] = first.map_or(&[], |first| &self.parents[first]);
        let leads = |node: usize| first.is_some_and(|first| self.ancestors[first].contains(node));
        let mut rest = self.not_seen();
        rest.sort_by_key(|node| {
            (
                !parents.contains(node),
                !leads(*node),
                std::cmp::Reverse(*node),
            )
        });
        rest.truncate(most);
        rest
    }

    /// Returns the nodes where the difference would begin if it never vanished, that were not looked at.
    fn open(&self) -> Vec<usize> {
        let end = self.first().unwrap_or(self.last);
        let mut same = Set::new(self.parents.len());
        for node in (0..=end).filter(|node| self.ancestors[end].contains(*node)) {
            if self.seen[node] == Some(Look::Same) {
                same.merge(&self.ancestors[node]);
            }
        }
        (0..=end)
            .filter(|node| self.ancestors[end].contains(*node) && !same.contains(*node))
            .filter(|node| self.seen[*node].is_none())
            .collect()
    }

    /// Records the result of a look at `node`.
    pub fn record(&mut self, node: usize, look: Look) {
        self.seen[node] = Some(look);
    }

    /// Forgets the result of a look at `node`.
    pub fn forget(&mut self, node: usize) {
        self.seen[node] = None;
    }

    /// Returns the first node that differs, as far as is known.
    pub fn first(&self) -> Option<usize> {
        (0..=self.last).find(|node| self.seen[*node] == Some(Look::Differs) && self.matters(*node))
    }

    /// Returns whether a node leads to the output.
    pub fn matters(&self, node: usize) -> bool {
        self.ancestors[self.last].contains(node)
    }

    /// Returns the nodes that lead to the output, come before the first one that differs (if there is one), and were
    /// not looked at.
    pub fn not_seen(&self) -> Vec<usize> {
        self.before_first(|look| look.is_none())
    }

    /// Returns the nodes that lead to the output, come before the first one that differs (if there is one), and cannot
    /// be looked at.
    pub fn unknown(&self) -> Vec<usize> {
        self.before_first(|look| look == Some(Look::Unknown))
    }

    /// Returns whether a node that leads to the first differing one is known to be the same, or none leads to it.
    pub fn has_ground(&self) -> bool {
        let Some(first) = self.first() else {
            return false;
        };
        let mut before = (0..first).filter(|node| self.ancestors[first].contains(*node));
        let none = before.clone().next().is_none();
        none || before.any(|node| self.seen[node] == Some(Look::Same))
    }

    fn before_first(&self, is: impl Fn(Option<Look>) -> bool) -> Vec<usize> {
        let end = self.first().unwrap_or(self.last + 1);
        (0..end)
            .filter(|node| self.matters(*node) && is(self.seen[*node]))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches; returns the found node and the number of looks.
    fn search(
        parents: Vec<Vec<usize>>,
        most: usize,
        look: impl Fn(usize) -> Look,
    ) -> (Option<usize>, usize) {
        let last = parents.len() - 1;
        let mut search = Search::new(parents, last);
        let mut looks = 0;
        loop {
            let nodes = search.next(most);
            if nodes.is_empty() {
                return (search.first(), looks);
            }
            assert!(nodes.len() <= most);
            for node in nodes {
                assert_eq!(search.seen[node], None, "looked at twice");
                search.record(node, look(node));
            }
            looks += 1;
        }
    }

    fn chain(length: usize) -> Vec<Vec<usize>> {
        (0..length)
            .map(|node: usize| node.checked_sub(1).into_iter().collect())
            .collect()
    }

    fn from(fault: usize) -> impl Fn(usize) -> Look {
        move |node| {
            if node >= fault {
                Look::Differs
            } else {
                Look::Same
            }
        }
    }

    #[test]
    fn a_chain_takes_few_looks_and_one_for_each_batch_before_the_fault() {
        for fault in [0, 1, 500, 998, 999] {
            let (found, looks) = search(chain(1000), 32, from(fault));
            assert_eq!(found, Some(fault));
            assert!(looks <= 3 + fault / 32, "{fault}: {looks}");
        }
    }

    #[test]
    fn one_node_a_look_takes_the_logarithm_until_a_candidate_is_found() {
        let mut search = Search::new(chain(1000), 999);
        let mut looks = 0;
        while !search.open().is_empty() {
            let node = search.next(1)[0];
            search.record(node, from(500)(node));
            looks += 1;
        }
        assert_eq!(search.first(), Some(500));
        assert!(looks <= 11, "{looks}");
        // The remaining nodes may have been hidden.
        assert!(search.not_seen().len() > 480);
    }

    #[test]
    fn branches_that_are_not_concerned_do_not_matter() {
        // Blocks of a, b, c with two branches: a → b → d, a → c → d, and d is the next block's a.
        let mut parents: Vec<Vec<usize>> = vec![vec![]];
        for _ in 0..100 {
            let a = parents.len() - 1;
            parents.extend([vec![a], vec![a], vec![a + 1, a + 2]]);
        }
        let ancestors = Search::new(parents.clone(), parents.len() - 1).ancestors;
        for fault in [0, 1, 2, 3, 149, 150, 151, 299, 300] {
            let look = |node: usize| {
                if ancestors[node].contains(fault) {
                    Look::Differs
                } else {
                    Look::Same
                }
            };
            let (found, looks) = search(parents.clone(), 32, look);
            assert_eq!(found, Some(fault));
            assert!(looks <= 4 + fault / 32, "{fault}: {looks}");
        }
    }

    #[test]
    fn parallel_branches_take_a_bounded_number_of_looks() {
        // 2,000 branches of one node, of which only one carries the fault; a sum at the end.
        let mut parents = vec![vec![]];
        parents.extend(vec![vec![0]; 2000]);
        parents.push((1..=2000).collect());
        for fault in [1, 777, 2000] {
            let look = |node| {
                if node == fault || node == 2001 {
                    Look::Differs
                } else {
                    Look::Same
                }
            };
            let (found, looks) = search(parents.clone(), 32, look);
            assert_eq!(found, Some(fault));
            assert!(looks <= 2002_usize.div_ceil(32) + 2, "{fault}: {looks}");
        }
    }

    #[test]
    fn what_was_hidden_is_found() {
        // 3 differs; 4 hides it; 5 sees 3 by another way.
        let parents = vec![
            vec![],
            vec![0],
            vec![1],
            vec![2],
            vec![3],
            vec![3, 4],
            vec![5],
        ];
        let differs = |nodes: &'static [usize]| {
            move |node| {
                if nodes.contains(&node) {
                    Look::Differs
                } else {
                    Look::Same
                }
            }
        };
        for most in [1, 2, 32] {
            assert_eq!(
                search(parents.clone(), most, differs(&[3, 5, 6])).0,
                Some(3)
            );
            // The only way is hidden, and the difference rises again later.
            assert_eq!(
                search(chain(40), most, differs(&[2, 30, 31, 39])).0,
                Some(2)
            );
        }
    }

    #[test]
    fn nodes_that_cannot_be_looked_at_are_reported() {
        let mut search = Search::new(chain(12), 11);
        search.record(5, Look::Unknown);
        search.record(8, Look::Unknown);
        loop {
            let nodes = search.next(4);
            if nodes.is_empty() {
                break;
            }
            for node in nodes {
                search.record(node, from(5)(node));
            }
        }
        assert_eq!(search.first(), Some(6));
        assert_eq!(search.unknown(), [5]);
        assert!(search.not_seen().is_empty() && search.has_ground());
        let mut search = Search::new(chain(2), 1);
        search.record(0, Look::Unknown);
        search.record(1, Look::Differs);
        assert_eq!(search.first(), Some(1));
        assert!(!search.has_ground());
    }

    #[test]
    fn nodes_that_do_not_lead_to_the_output_do_not_matter() {
        let mut search = Search::new(vec![vec![], vec![0], vec![0], vec![2]], 3);
        assert_eq!(search.next(32), [0, 2, 3]);
        for node in [0, 2] {
            search.record(node, Look::Same);
        }
        search.record(3, Look::Differs);
        assert!(search.next(32).is_empty());
        assert_eq!(search.first(), Some(3));
    }
}
