//! Scenarios: the costly part of several tests runs once, and each test checks one fact of it.

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Failed, Trial};

use crate::Needs;

/// A fact about a scenario: its name, and the check of what was seen.
pub type Fact<T> = (&'static str, fn(&T) -> Result<(), Failed>);

impl Needs {
    /// Returns a test for each of `facts`, called `<prefix>::<name>`.
    ///
    /// The first test that runs builds the scenario, and the others wait for it. If it cannot be built, all of them fail.
    /// It is dropped with the last of them.
    pub fn scenario<T: Send + Sync + 'static, const N: usize>(
        &self,
        prefix: &str,
        build: fn() -> Result<T, Failed>,
        facts: [Fact<T>; N],
    ) -> Vec<Trial> {
        let built = Arc::new(OnceLock::new());
        let trial = |(name, check): Fact<T>| {
            let built = Arc::clone(&built);
            self.test(format!("{prefix}::{name}"), move || {
                match built.get_or_init(build) {
                    Ok(built) => check(built),
                    Err(failed) => Err(Failed::clone(failed)),
                }
            })
        };
        facts.map(trial).into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use libtest_mimic::{Arguments, Conclusion};

    use super::*;
    use crate::ensure;

    /// Runs `trials` without their output, in which tests fail on purpose.
    fn concluded(trials: Vec<Trial>) -> Conclusion {
        let file = tempfile::NamedTempFile::new().unwrap();
        let arguments = Arguments {
            logfile: Some(file.path().to_str().unwrap().to_owned()),
            ..Arguments::default()
        };
        libtest_mimic::run(&arguments, trials)
    }

    #[test]
    fn a_scenario_is_built_once() {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        let trials = Needs::nothing().scenario(
            "once",
            || Ok(BUILT.fetch_add(1, Ordering::Relaxed)),
            [
                ("first", |value: &usize| ensure(*value == 0, value)),
                ("second", |value: &usize| ensure(*value == 0, value)),
            ],
        );
        let passed = concluded(trials).num_passed;
        assert_eq!((passed, BUILT.load(Ordering::Relaxed)), (2, 1));
    }

    #[test]
    fn every_fact_of_a_scenario_that_cannot_be_built_fails() {
        let trials = Needs::nothing().scenario(
            "broken",
            || Err("broken".into()),
            [("first", |(): &()| Ok(())), ("second", |(): &()| Ok(()))],
        );
        assert_eq!(concluded(trials).num_failed, 2);
    }
}
