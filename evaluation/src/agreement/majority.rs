//! The majority among three or more runs.

/// The largest group of runs that agree with each other.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "found")]
pub enum Majority {
    /// All runs agree with each other.
    All,
    /// More than half of the runs agree with each other; the `others` are off.
    Most {
        /// The places of the runs that are off.
        others: Vec<usize>,
    },
    /// No more than half of the runs agree with each other.
    None,
}

impl Majority {
    /// Finds the largest group of `runs` runs in which all agree with each other; `agree` compares two, once for each pair.
    /// Of equally large groups it takes the one without the last runs. The time may double with each run: commands take at
    /// most [`MOST_RUNS`](crate::MOST_RUNS).
    pub fn find(runs: usize, agree: impl Fn(usize, usize) -> bool) -> Self {
        let with_earlier = |run: usize| (0..run).map(|earlier| agree(earlier, run)).collect();
        let mut search = Search {
            agreement: (0..runs).map(with_earlier).collect(),
            group: Vec::new(),
            // A smaller group is no majority.
            size: runs / 2,
            largest: None,
        };
        search.extend(&(0..runs).collect::<Vec<_>>());
        match search.largest {
            None => Self::None,
            Some(group) if group.len() == runs => Self::All,
            Some(group) => Self::Most {
                others: (0..runs).filter(|run| !group.contains(run)).collect(),
            },
        }
    }
}

/// A search by branch and bound.
struct Search {
    /// For each run those before it, true if they agree with it.
    agreement: Vec<Vec<bool>>,
    /// Runs that agree with each other.
    group: Vec<usize>,
    /// The size that a group has to exceed.
    size: usize,
    largest: Option<Vec<usize>>,
}

impl Search {
    /// Finds the largest group of `group` and some of the `candidates`, all of which agree with `group`.
    fn extend(&mut self, candidates: &[usize]) {
        if self.group.len() + candidates.len() <= self.size {
            return;
        }
        let Some((last, before)) = candidates.split_last() else {
            self.size = self.group.len();
            self.largest = Some(self.group.clone());
            return;
        };
        let agreement = &self.agreement[*last];
        let agreeing: Vec<usize> = before
            .iter()
            .copied()
            .filter(|run| agreement[*run])
            .collect();
        // A run that agrees with all others is in a largest group.
        if agreeing.len() < before.len() {
            self.extend(before);
        }
        self.group.push(*last);
        self.extend(&agreeing);
        self.group.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_odd_one_out_is_named() {
        let off = |odd: usize| Majority::find(3, move |a, b| a != odd && b != odd);
        assert_eq!(off(0), Majority::Most { others: vec![0] });
        assert_eq!(off(2), Majority::Most { others: vec![2] });
        assert_eq!(Majority::find(4, |_, _| true), Majority::All);
        assert_eq!(Majority::find(3, |_, _| false), Majority::None);
        // Agreement is not transitive: 0 with 1 and 1 with 2, but not 0 with 2.
        assert_eq!(
            Majority::find(3, |a, b| a.abs_diff(b) == 1),
            Majority::Most { others: vec![2] }
        );
        assert_eq!(Majority::find(4, |a, b| a / 2 == b / 2), Majority::None);
    }

    /// Tries all groups.
    fn by_all_groups(runs: usize, agree: &dyn Fn(usize, usize) -> bool) -> Majority {
        let members = |group: u32| (0..runs).filter(move |run| group >> run & 1 == 1);
        let is_group =
            |group: &u32| members(*group).all(|a| members(*group).all(|b| a >= b || agree(a, b)));
        let groups = (0..1_u32 << runs).filter(is_group);
        let largest = groups.max_by_key(|group| (group.count_ones(), std::cmp::Reverse(*group)));
        let largest = largest.unwrap_or(0);
        match largest.count_ones() as usize {
            size if size == runs => Majority::All,
            size if size * 2 > runs => Majority::Most {
                others: (0..runs).filter(|run| largest >> run & 1 == 0).collect(),
            },
            _ => Majority::None,
        }
    }

    #[test]
    fn the_group_is_that_of_a_search_of_all_groups() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..500 {
            let runs = random.usize(3..9);
            let share = random.f64();
            let pairs: Vec<bool> = (0..64).map(|_| random.f64() < share).collect();
            let agree = |a: usize, b: usize| pairs[a.min(b) * 8 + a.max(b)];
            assert_eq!(Majority::find(runs, agree), by_all_groups(runs, &agree));
        }
    }

    #[test]
    fn many_runs_have_a_majority_and_each_pair_is_compared_once() {
        for runs in [16, 31, 32, 33, 64, 200] {
            let calls = Cell::new(0);
            let find = |off: usize| {
                calls.set(0);
                Majority::find(runs, |a, b| {
                    calls.set(calls.get() + 1);
                    a != off && b != off
                })
            };
            assert_eq!(find(runs), Majority::All);
            assert_eq!(calls.get(), runs * (runs - 1) / 2);
            assert_eq!(find(1), Majority::Most { others: vec![1] });
            assert_eq!(Majority::find(runs, |_, _| false), Majority::None);
        }
    }
}
