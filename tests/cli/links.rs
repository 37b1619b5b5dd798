//! Links and names of files on Unix: outputs go through links, and any name can be in a report.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 4] = [
        ("a_report_goes_through_a_link", report),
        ("output_link_must_lead_to_a_regular_file", no_file),
        ("output_name_must_not_be_a_directory", directory_name),
        ("the_hint_on_a_directory_names_the_flag", hint),
    ];
    let mut trials: Vec<Trial> = tests
        .map(|(name, test)| Trial::test(format!("links::{name}"), test))
        .into();
    trials.extend(Needs::nothing().scenario(
        "links::output",
        written_through_links,
        [
            ("link_stays_a_link", |all| {
                ensure(all.iter().all(|one| one.is_link), all)
            }),
            ("target_has_the_result", |all| {
                let is_result = |text: &str| text.len() > 50 && !text.contains("not a result");
                ensure(all.iter().all(|one| is_result(&one.text)), all)
            }),
            ("target_keeps_its_permissions", |all| {
                let keeps = |one: &Written| one.before.is_none_or(|before| before == one.after);
                ensure(all.iter().all(keeps), all)
            }),
            ("dangling_link_gets_its_target", |all| {
                ensure(all.iter().any(|one| one.before.is_none()), all)
            }),
        ],
    ));
    trials.extend(Needs::nothing().scenario(
        "links::report_with_any_file_name",
        reports_of_any_name,
        [
            ("is_well_formed_xml", |all| all.iter().try_for_each(is_xml)),
            ("keeps_each_name_in_json", |all| {
                all.iter().try_for_each(has_names_in_json)
            }),
            ("has_printable_characters_only", |all| {
                all.iter().try_for_each(is_printable)
            }),
            ("names_the_images", |all| {
                // `evaluate` lists only wrong answers, and these images have no ground truth.
                let compared = all.iter().filter(|reports| reports.kind == "compare");
                let mut texts = compared.flat_map(|reports| &reports.texts);
                texts.try_for_each(|(name, text)| ensure(text.contains("{ffff"), (name, text)))
            }),
        ],
    ));
    trials
}

/// A directory with an image, a file `sub/old`, and links.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(links: &[(&str, &str)]) -> Result<Self, Failed> {
        let (directory, _, _) = small_images()?;
        fs::create_dir(directory.path().join("sub"))?;
        for (link, target) in links {
            symlink(target, directory.path().join(link))?;
        }
        Ok(Self { directory })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, flags: &[&str]) -> Run {
        let mut command: Command = classify();
        command.current_dir(self.directory.path()).args(flags);
        command.args(["-i", "a.ppm", "--color", "rgb", "--quiet", "-m"]);
        run(command.arg(small_model("plain.onnx")))
    }

    fn is_link(&self, name: &str) -> Result<bool, Failed> {
        Ok(fs::symlink_metadata(self.at(name))?.is_symlink())
    }
}

/// An output that was written through a link.
#[derive(Debug)]
struct Written {
    /// The link and the flags, for messages.
    #[allow(dead_code, reason = "`Debug` prints it")]
    case: String,
    /// True if the link is still one.
    is_link: bool,
    /// The content of the target.
    text: String,
    /// The permissions of the target before, if it existed.
    before: Option<u32>,
    after: u32,
}

fn written_through_links() -> Result<Vec<Written>, Failed> {
    let place = Place::new(&[
        ("link", "sub/old"),
        ("chain", "link"),
        ("dangling", "sub/new"),
    ])?;
    symlink(place.at("sub/old"), place.at("sub/absolute"))?;
    let mut all = Vec::new();
    for (link, target) in [
        ("link", "sub/old"),
        ("chain", "sub/old"),
        ("sub/absolute", "sub/old"),
        ("dangling", "sub/new"),
    ] {
        let target = place.at(target);
        for flags in [
            &["--backend", "rten", "-o"][..],
            &["compare", "rten", "--record"],
        ] {
            for protection in [0o640, 0o600] {
                let exists = link != "dangling" || target.exists();
                if exists {
                    fs::write(&target, "not a result")?;
                    fs::set_permissions(&target, fs::Permissions::from_mode(protection))?;
                }
                expect_code(&place.run(&[flags, &[link]].concat()), 0)?;
                all.push(Written {
                    case: format!("{link} {flags:?}"),
                    is_link: place.is_link(link)?,
                    text: fs::read_to_string(&target)?,
                    before: exists.then_some(protection),
                    after: fs::metadata(&target)?.mode() & 0o777,
                });
            }
        }
    }
    Ok(all)
}

fn report() -> Result<(), Failed> {
    let place = Place::new(&[("report.json", "sub/report.json")])?;
    let result = place.run(&["compare", "rten", "rten", "--report", "report.json"]);
    expect_code(&result, 0)?;
    ensure(place.is_link("report.json")?, "the link is gone")?;
    let report = fs::read(place.at("sub/report.json"))?;
    let report: serde_json::Value = serde_json::from_slice(&report)?;
    ensure(report["verdict"] == "agree", report)
}

/// A link loop and a link to a directory.
fn no_file() -> Result<(), Failed> {
    let place = Place::new(&[("loop", "loop"), ("link", "sub")])?;
    for (output, words) in [
        ("loop", "symbolic link loop"),
        ("link", "not a regular file"),
    ] {
        let result = place.run(&["--backend", "rten", "-o", output]);
        expect_code(&result, 2)?;
        ensure(result.stderr.contains(words), result)?;
    }
    Ok(())
}

/// A name that cannot belong to a file.
fn directory_name() -> Result<(), Failed> {
    let place = Place::new(&[])?;
    let result = place.run(&["--backend", "rten", "-o", "new/"]);
    expect_code(&result, 2)?;
    ensure(result.stderr.contains("not a regular file"), result)
}

fn hint() -> Result<(), Failed> {
    let place = Place::new(&[("link", "sub"), ("link.json", "sub")])?;
    for (flag, path) in [("--report", "link.json"), ("--record", "link")] {
        let result = place.run(&["compare", "rten", "rten", flag, path]);
        expect_code(&result, 2)?;
        let hint = format!("or leave {flag} out");
        ensure(result.stderr.contains(&hint), result)?;
    }
    Ok(())
}

/// The reports of a command on images with names of all kinds.
struct Reports {
    kind: &'static str,
    /// The number of images that cannot be decoded.
    bad: usize,
    json: serde_json::Value,
    /// The other reports, by their names.
    texts: Vec<(&'static str, String)>,
}

fn reports_of_any_name() -> Result<Vec<Reports>, Failed> {
    let (directory, a, _) = small_images()?;
    let names: [&[u8]; 5] = [
        "\u{fffe}\u{ffff}.ppm".as_bytes(),
        "\u{fdd0}\u{10ffff}.ppm".as_bytes(),
        b"\x01\x0b\x1b\x7f<&\"']]>.ppm",
        "\u{85}\u{2028}\u{202e}.ppm".as_bytes(),
        b"\xff\xfe\xed\xa0\x80.ppm",
    ];
    let named = |name: &&[u8]| directory.path().join(std::ffi::OsStr::from_bytes(name));
    // Files that decode, and files that fail: errors must print the names as well.
    let good: Vec<PathBuf> = names.iter().map(named).collect();
    for path in &good {
        fs::copy(&a, path)?;
    }
    let bad = good.iter().map(|path| path.with_extension("pgm"));
    let bad: Vec<PathBuf> = bad.collect();
    for path in &bad {
        fs::write(path, "P5 no image")?;
    }
    let truth = directory.path().join("truth.txt");
    fs::write(&truth, "a.ppm 0\n")?;
    let reports = |kind: &'static str| {
        let out = tempfile::tempdir()?;
        let at = |name: &str| out.path().join(name);
        let mut command = classify();
        command.args([kind, "rten"]);
        match kind {
            "compare" => command.arg("rten"),
            _ => command.arg("--truth").arg(&truth),
        };
        command.args(["--color", "rgb", "-m"]);
        command.arg(small_model("plain.onnx"));
        command.arg("-i").args(&good).args(&bad).arg(&a);
        for name in ["r.xml", "r.json", "r.html", "r.md"] {
            command.arg("--report").arg(at(name));
        }
        let result = run(&mut command);
        ensure(at("r.md").exists(), &result)?;
        let text = |name| Ok((name, fs::read_to_string(at(name))?));
        let texts = ["r.xml", "r.html", "r.md"].into_iter().map(text);
        Ok(Reports {
            kind,
            bad: bad.len(),
            json: serde_json::from_slice(&fs::read(at("r.json"))?)?,
            texts: texts.collect::<Result<_, Failed>>()?,
        })
    };
    ["compare", "evaluate"].into_iter().map(reports).collect()
}

fn is_xml(reports: &Reports) -> Result<(), Failed> {
    let (_, xml) = &reports.texts[0];
    let document = roxmltree::Document::parse(xml)?;
    let cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    ensure(cases.count() >= reports.bad, xml)
}

fn has_names_in_json(reports: &Reports) -> Result<(), Failed> {
    let json = &reports.json;
    ensure(json.to_string().contains('\u{ffff}'), json)
}

fn is_printable(reports: &Reports) -> Result<(), Failed> {
    let unfit = |character: char| {
        character.is_control() && character != '\n'
            || matches!(
                character,
                '\u{fffe}' | '\u{ffff}' | '\u{202e}' | '\u{fdd0}' | '\u{10ffff}'
            )
    };
    let mut texts = reports.texts.iter();
    texts.try_for_each(|(name, text)| ensure(!text.contains(unfit), (name, text)))
}
