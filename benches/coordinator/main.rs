//! `cargo bench-parts coordinator`: the CPU time for each image of the thread of `classify` that hands images to the
//! decoding threads and the engine, ranks their outputs and writes the results. Linux only.
//!
//! The program itself runs, on images and models so small that this thread has the most work of all. The CPU time of the
//! thread comes from the kernel, so other programs on the machine disturb little.
//!
//! `cargo bench --package classify-cli --bench coordinator -- --against PROGRAM` runs another build of `classify` in turns
//! with this one and adds the ratio.

// Printing is the purpose of a bench.
#![allow(clippy::print_stdout)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use classify_tests::small_model;
use tempfile::TempDir;

/// Different files, which the list of images repeats.
const FILES: usize = 500;
const MODELS: [(&str, usize); 2] = [("plain.onnx", 12), ("thousand-classes.onnx", 1000)];

/// The ways in which the program gets the images. The `-i DIR` of a user is the same as `List`, which repeats files.
#[derive(Debug, Clone, Copy)]
enum Inputs {
    List,
    Stdin,
    Stream,
    Shard,
}

const CASES: [(Inputs, &str); 6] = [
    (Inputs::List, "json"),
    (Inputs::List, "csv"),
    (Inputs::List, "text"),
    (Inputs::Stdin, "json"),
    (Inputs::Stream, "json"),
    (Inputs::Shard, "json"),
];

struct Options {
    images: usize,
    rounds: usize,
    against: Option<PathBuf>,
    /// `coordinator` or a part of a row's name. Rows without it are left out.
    filter: Option<String>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self {
            images: 30_000,
            rounds: 5,
            against: None,
            filter: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match &*argument {
                "--bench" => (),
                // `cargo test --benches` only wants to know that it runs.
                "--test" => (options.images, options.rounds) = (2_000, 1),
                "--against" => options.against = arguments.next().map(PathBuf::from),
                "--rounds" => {
                    let rounds = arguments.next().and_then(|rounds| rounds.parse().ok());
                    options.rounds = rounds.expect("`--rounds` has a number");
                }
                _ => options.filter = Some(argument),
            }
        }
        options
    }

    fn selects(&self, row: &str) -> bool {
        let filter = self.filter.as_deref();
        filter.is_none_or(|filter| "coordinator".contains(filter) || row.contains(filter))
    }
}

fn main() {
    let options = Options::parse();
    if !Path::new("/proc/self/schedstat").exists() {
        println!("the CPU time of a thread of another process is known on Linux alone");
        return;
    }
    let mut programs = vec![PathBuf::from(env!("CARGO_BIN_EXE_classify"))];
    programs.extend(options.against.clone());
    let work = Work::new(options.images);
    let mut has_head = false;
    for (model, classes) in MODELS {
        for (inputs, format) in CASES {
            let row = format!("{inputs:?} {format} {classes}");
            if !options.selects(&row) {
                continue;
            }
            let mut times = vec![Vec::new(); programs.len()];
            for _ in 0..options.rounds {
                for (program, times) in programs.iter().zip(&mut times) {
                    times.push(work.measure(program, model, inputs, format));
                }
            }
            if !has_head {
                println!("| inputs, format, classes | CPU time, µs | from, to | ratio |");
                println!("|---|---|---|---|");
                has_head = true;
            }
            let ratio = times.get(1).map_or_else(String::new, |others| {
                let ratios = times[0].iter().zip(others);
                let ratios = ratios.map(|(own, other)| own / other).collect();
                format!("{:.2}", median(ratios))
            });
            let (least, most) = (bound(&times[0], f64::min), bound(&times[0], f64::max));
            let own = median(times.swap_remove(0));
            println!("| {row} | {own:.1} | {least:.1}, {most:.1} | {ratio} |");
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

fn bound(values: &[f64], pick: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(pick).unwrap_or(f64::NAN)
}

/// The images, and a list of them.
struct Work {
    directory: TempDir,
    list: PathBuf,
    images: usize,
}

/// The state of a run at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The CPU time of the main thread, in nanoseconds.
    nanoseconds: u64,
    /// Bytes of results that are written.
    bytes: u64,
}

impl Work {
    fn new(images: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let paths: Vec<PathBuf> = (0..FILES)
            .map(|file| {
                let levels = (0..192).map(|place| (file * 7 + place * 13) as u8);
                let image: Vec<u8> = b"P6 8 8 255\n".iter().copied().chain(levels).collect();
                let path = directory.path().join(format!("{file:04}.ppm"));
                fs::write(&path, image).expect("an image is written");
                path
            })
            .collect();
        let list = directory.path().join("list.txt");
        let mut lines = BufWriter::new(File::create(&list).expect("a file for the list"));
        for path in paths.iter().cycle().take(images) {
            writeln!(lines, "{}", path.display()).expect("the list is written");
        }
        lines.flush().expect("the list is written");
        Self {
            directory,
            list,
            images,
        }
    }

    /// Returns the microseconds of CPU time of the main thread for an image, from the first results to the last.
    fn measure(&self, program: &Path, model: &str, inputs: Inputs, format: &str) -> f64 {
        let results = tempfile::tempdir_in(self.directory.path()).expect("a directory");
        let stdout = results.path().join("stdout");
        let mut arguments: Vec<OsString> = vec!["-m".into(), small_model(model).into()];
        arguments.extend(["--backend", "rten", "--quiet", "--format", format].map(Into::into));
        // The models state nothing, which the program warns of.
        let preprocessing =
            "--color rgb --mean 0 --scale 1 --resize stretch --interpolation opencv-linear";
        arguments.extend(preprocessing.split(' ').map(Into::into));
        let list = || self.list.clone().into();
        let from_list = || Stdio::from(File::open(&self.list).expect("the list is there"));
        let (others, stdin): (Vec<OsString>, Stdio) = match inputs {
            Inputs::List => (vec!["--input-list".into(), list()], Stdio::null()),
            Inputs::Stdin => (vec!["-i".into(), "-".into()], from_list()),
            Inputs::Stream => (vec!["--stream".into()], from_list()),
            Inputs::Shard => {
                let shard = ["--scores", "softmax", "--shard", "0/1", "--out-dir"];
                let mut others = shard.map(OsString::from).to_vec();
                others.extend([results.path().join("parts").into(), "--input-list".into()]);
                others.push(list());
                (others, Stdio::null())
            }
        };
        let mut child = Command::new(program)
            .args(arguments)
            .args(others)
            .stdin(stdin)
            .stdout(File::create(&stdout).expect("a file for the results"))
            .spawn()
            .expect("the program starts");
        let watched = match inputs {
            Inputs::Shard => results.path().join("parts"),
            _ => results.path().to_owned(),
        };
        let samples = watch(&mut child, &watched);
        let status = child.wait().expect("the program ends");
        assert!(status.success(), "{}: {status}", program.display());
        let size = size(&watched);
        // The start, with the opening of the model, and the end do not count.
        let inner = |sample: &&Sample| sample.bytes > size / 10 && sample.bytes < size * 19 / 20;
        let first = samples.iter().find(inner);
        let last = samples.iter().rfind(inner);
        let (Some(first), Some(last)) = (first, last) else {
            panic!("the run is too short to be measured");
        };
        let share = (last.bytes - first.bytes) as f64 / size as f64;
        let nanoseconds = (last.nanoseconds - first.nanoseconds) as f64;
        nanoseconds / 1e3 / (share * self.images as f64)
    }
}

/// Looks at a run again and again until it ends.
fn watch(child: &mut Child, results: &Path) -> Vec<Sample> {
    let statistics = format!("/proc/{0}/task/{0}/schedstat", child.id());
    let mut samples = Vec::new();
    while child
        .try_wait()
        .expect("the program can be asked")
        .is_none()
    {
        let nanoseconds = fs::read_to_string(&statistics).unwrap_or_default();
        // The thread may be gone.
        if let Some(Ok(nanoseconds)) = nanoseconds.split(' ').next().map(str::parse) {
            let bytes = size(results);
            samples.push(Sample { nanoseconds, bytes });
        }
        thread::sleep(Duration::from_millis(5));
    }
    samples
}

/// Returns the bytes of all files in a directory. A file may be renamed meanwhile.
fn size(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = files.filter_map(|file| file.metadata().ok());
    let files = sizes.filter(fs::Metadata::is_file);
    files.map(|file| file.len()).sum()
}
