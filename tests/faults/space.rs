//! A disk that is full: at every size that a file may have until then.

use std::fs;

use classify_tests::{Run, ensure, run, works};
use libtest_mimic::{Failed, Trial};

use crate::counts;
use crate::work::{Place, WORKS, Work, check, where_there_is};

pub fn trials() -> Vec<Trial> {
    let prlimit = works(&["prlimit", "--fsize=1000", "true"], "prlimit");
    let namespace = works(
        &["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"],
        "unshare with a file system of its own",
    );
    let mut trials = Vec::new();
    for work in WORKS {
        let name = work.name.replace([' ', '-'], "_");
        trials.push(where_there_is(
            &prlimit,
            format!("space::{name}_within_any_size_of_a_file_is_never_torn"),
            move || file_sizes(work),
        ));
        trials.push(where_there_is(
            &namespace,
            format!("space::{name}_on_a_full_disk_is_never_torn"),
            move || full_disk(work),
        ));
    }
    trials
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Returns whether the error names a file of the work, and what to do, and nothing is said to be recorded.
fn is_explained(work: Work, result: &Run) -> bool {
    let mut files = work.files.iter();
    let is_named = files.any(|(_, file)| {
        let mut errors = result
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "));
        errors.any(|error| error.contains("cannot write") && error.contains(&format!("/{file}:")))
    });
    let has_no_verdict = !result.stdout.contains("RECORDED");
    is_named && has_no_verdict && result.stderr.contains("hint: ")
}

/// The runs with too little space.
#[derive(Default)]
struct Runs {
    tried: usize,
    failed: usize,
}

impl Runs {
    /// Counts a run, which has to explain its failure.
    fn add(&mut self, work: Work, result: &Run) -> Result<(), Failed> {
        let has_failed = result.code != Some(0);
        ensure(!has_failed || is_explained(work, result), result)?;
        self.tried += 1;
        self.failed += usize::from(has_failed);
        Ok(())
    }
}

/// The kernel cuts off what is written beyond the limit and reports the rest as too large. This is exact to the byte,
/// unlike a file system, which is full by pages.
fn file_sizes(work: Work) -> Result<(), Failed> {
    let place = Place::new(2)?;
    let good = place.good(work)?;
    let longest = good.values().map(String::len).max().unwrap_or_default();
    let step = counts(longest.div_ceil(12), 1);
    let mut runs = Runs::default();
    for size in (0..longest).step_by(step).chain([longest - 1, longest]) {
        let has_old = size % 2 == 1;
        let directory = place.directory(work, has_old)?;
        let start = ["prlimit".to_owned(), format!("--fsize={size}")];
        let result = run(&mut place.command(work, &directory, &start));
        check(&good, &directory, has_old, &result)
            .map_err(|failed| format!("{size}: {failed:?}"))?;
        ensure(
            (result.code == Some(0)) == (size == longest),
            (size, &result),
        )?;
        runs.add(work, &result)?;
    }
    println!(
        "{}: {} limits of a file's size, {} runs failed",
        work.name, runs.tried, runs.failed
    );
    Ok(())
}

/// A file system in memory, in a namespace of its own, which needs no rights. It is full by pages of 4 KiB.
fn full_disk(work: Work) -> Result<(), Failed> {
    const PAGE: usize = 4096;
    const SCRIPT: &str =
        "mount -t tmpfs -o size=\"$1\" none \"$2\" && cp -a \"$3\"/. \"$2\" || exit 99
        disk=$2 copy=$3; shift 3
        \"$@\"; code=$?
        rm -rf \"$copy\" && cp -a \"$disk\" \"$copy\"
        exit $code";
    let place = Place::new(counts(100, 400))?;
    let good = place.good(work)?;
    let pages = good
        .values()
        .map(|text| text.len().div_ceil(PAGE))
        .sum::<usize>();
    let step = pages.div_ceil(counts(8, usize::MAX)).max(1);
    let mut runs = Runs::default();
    for size in (1..=pages + 1).step_by(step) {
        let copy = place.directory(work, false)?;
        let disk = place.at("disk");
        fs::create_dir_all(&disk)?;
        let mut start = words(["unshare", "-Urm", "sh", "-c", SCRIPT, "sh"]);
        start.push((size * PAGE).to_string());
        start.extend([&disk, &copy].map(|path| path.display().to_string()));
        let result = run(&mut place.command(work, &disk, &start));
        ensure(result.code != Some(99), &result)?;
        check(&good, &copy, false, &result).map_err(|failed| format!("{size}: {failed:?}"))?;
        runs.add(work, &result)?;
    }
    println!(
        "{}: {} sizes of a disk, {} runs failed",
        work.name, runs.tried, runs.failed
    );
    ensure(runs.failed > 0, "the disk was never full")
}
