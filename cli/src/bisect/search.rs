//! Which node to look at next. As `git bisect` searches commits: the graph of nodes has branches, too.

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

    fn remove(&mut self, node: usize) {
        self.0[node / 64] &= !(1 << (node % 64));
    }

    fn contains(&self, node: usize) -> bool {
        self.0[node / 64] >> (node % 64) & 1 == 1
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }

    fn keep(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
    }

    fn take_away(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= !b);
    }

    fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn common(&self, other: &Self) -> usize {
        let words = self.0.iter().zip(&other.0);
        words.map(|(a, b)| (a & b).count_ones() as usize).sum()
    }
}

/// What a look at a node shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its output is the same.
    Same,
    /// Its output differs.
    Differs,
    /// It cannot be looked at.
    Unknown,
}

/// The search for the first node that differs.
pub struct Search {
    parents: Vec<Vec<usize>>,
    /// Of each node, itself included.
    ancestors: Vec<Set>,
    seen: Vec<Option<Look>>,
    candidates: Set,
    first: usize,
}

impl Search {
    /// `last` differs; everything that leads to it may be where that began. `parents` come before their
    /// children.
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
        let mut candidates = ancestors[last].clone();
        candidates.remove(last);
        let mut seen = vec![None; count];
        seen[last] = Some(Look::Differs);
        Self {
            parents,
            ancestors,
            seen,
            candidates,
            first: last,
        }
    }

    /// The node to look at next; `None` when the first one that differs is known.
    ///
    /// Each look halves what is left as far as the graph allows, if what differs goes on to differ. Where
    /// it does not (a `ReLU` that hides it), the parents of what was found are looked at too.
    pub fn next(&self) -> Option<usize> {
        let total = self.candidates.len();
        let halving = (0..self.parents.len())
            .filter(|node| self.candidates.contains(*node) && self.seen[*node].is_none())
            .max_by_key(|node| {
                let behind = self.candidates.common(&self.ancestors[*node]);
                (behind.min(total - behind), std::cmp::Reverse(*node))
            });
        halving.or_else(|| {
            let mut parents = self.parents[self.first].iter().copied();
            parents.find(|parent| self.seen[*parent].is_none())
        })
    }

    /// Says what a look at `node` has shown.
    pub fn saw(&mut self, node: usize, look: Look) {
        self.seen[node] = Some(look);
        match look {
            Look::Same => self.candidates.take_away(&self.ancestors[node]),
            Look::Differs => {
                if self.candidates.contains(node) {
                    self.candidates.keep(&self.ancestors[node]);
                } else {
                    // It had been taken for the same because a child of it is.
                    self.candidates = self.ancestors[node].clone();
                }
                self.candidates.remove(node);
                self.first = node;
            }
            Look::Unknown => self.candidates.remove(node),
        }
    }

    /// The first node that differs, as far as is known.
    pub fn first(&self) -> usize {
        self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches; gives what was found and how many looks it took.
    fn search(parents: Vec<Vec<usize>>, look: impl Fn(usize) -> Look) -> (usize, usize) {
        let last = parents.len() - 1;
        let mut search = Search::new(parents, last);
        let mut looks = 0;
        while let Some(node) = search.next() {
            search.saw(node, look(node));
            looks += 1;
        }
        (search.first(), looks)
    }

    fn chain(length: usize) -> Vec<Vec<usize>> {
        (0..length)
            .map(|node: usize| node.checked_sub(1).into_iter().collect())
            .collect()
    }

    #[test]
    fn a_chain_takes_the_logarithm() {
        for fault in [0, 1, 500, 998, 999] {
            let look = |node| {
                if node >= fault {
                    Look::Differs
                } else {
                    Look::Same
                }
            };
            let (found, looks) = search(chain(1000), look);
            assert_eq!(found, fault);
            assert!(looks <= 11, "{looks}");
        }
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
            let (found, looks) = search(parents.clone(), look);
            assert_eq!(found, fault);
            assert!(looks <= 12, "{fault}: {looks}");
        }
    }

    #[test]
    fn what_was_hidden_for_a_while_is_still_found() {
        // 3 differs, 4 hides it, and 5 sees 3 by another way.
        let parents = vec![
            vec![],
            vec![0],
            vec![1],
            vec![2],
            vec![3],
            vec![3, 4],
            vec![5],
        ];
        let look = |node| {
            if [3, 5, 6].contains(&node) {
                Look::Differs
            } else {
                Look::Same
            }
        };
        assert_eq!(search(parents, look).0, 3);
    }

    #[test]
    fn nodes_that_cannot_be_looked_at_are_passed_by() {
        let look = |node| match node {
            5 => Look::Unknown,
            n if n >= 5 => Look::Differs,
            _ => Look::Same,
        };
        assert_eq!(search(chain(12), look).0, 6);
    }
}
