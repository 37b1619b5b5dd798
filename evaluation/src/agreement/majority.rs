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
    /// Finds the largest group of `runs` runs in which all agree with each other; `agree` compares two.
    /// Of equally large groups it takes the first. There are at most a few runs: all groups are tried.
    pub fn find(runs: usize, agree: impl Fn(usize, usize) -> bool) -> Self {
        let members = |group: u32| (0..runs).filter(move |run| group >> run & 1 == 1);
        let is_clique =
            |group: u32| members(group).all(|a| members(group).all(|b| a >= b || agree(a, b)));
        let largest = (1..1_u32 << runs)
            .filter(|&group| is_clique(group))
            .max_by_key(|group| (group.count_ones(), std::cmp::Reverse(*group)))
            .unwrap_or(0);
        let size = largest.count_ones() as usize;
        if size == runs {
            Self::All
        } else if size * 2 > runs {
            Self::Most {
                others: (0..runs).filter(|run| largest >> run & 1 == 0).collect(),
            }
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
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
}
