//! Links and names of files on Unix: outputs go through links, and any name can be in a report.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 5] = [
        ("an_output_goes_through_a_link", links),
        ("a_report_goes_through_a_link", report),
        ("a_link_to_no_file_is_refused", no_file),
        ("the_hint_on_a_directory_names_the_flag", hint),
        ("reports_hold_any_file_name", any_name),
    ];
    tests
        .map(|(name, test)| Trial::test(format!("links::{name}"), test))
        .into()
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

/// The link stays a link, and its target keeps its permissions.
fn links() -> Result<(), Failed> {
    let place = Place::new(&[
        ("link", "sub/old"),
        ("chain", "link"),
        ("dangling", "sub/new"),
    ])?;
    symlink(place.at("sub/old"), place.at("sub/absolute"))?;
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
                ensure(place.is_link(link)?, (link, flags))?;
                let text = fs::read_to_string(&target)?;
                ensure(text.len() > 50 && !text.contains("not a result"), text)?;
                let mode = fs::metadata(&target)?.mode() & 0o777;
                ensure(!exists || mode == protection, (link, mode))?;
            }
        }
    }
    Ok(())
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

/// A link loop, a link to a directory, and a name that can be no file's.
fn no_file() -> Result<(), Failed> {
    let place = Place::new(&[("loop", "loop"), ("folder", "sub")])?;
    for (output, words) in [
        ("loop", "symbolic link loop"),
        ("folder", "not a regular file"),
        ("new/", "not a regular file"),
    ] {
        let result = place.run(&["--backend", "rten", "-o", output]);
        expect_code(&result, 2)?;
        ensure(result.stderr.contains(words), result)?;
    }
    Ok(())
}

fn hint() -> Result<(), Failed> {
    let place = Place::new(&[("folder", "sub"), ("folder.json", "sub")])?;
    for (flag, path) in [("--report", "folder.json"), ("--record", "folder")] {
        let result = place.run(&["compare", "rten", "rten", flag, path]);
        expect_code(&result, 2)?;
        let hint = format!("or leave {flag} out");
        ensure(result.stderr.contains(&hint), result)?;
    }
    Ok(())
}

fn any_name() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let names: [&[u8]; 5] = [
        "\u{fffe}\u{ffff}.ppm".as_bytes(),
        "\u{fdd0}\u{10ffff}.ppm".as_bytes(),
        b"\x01\x0b\x1b\x7f<&\"']]>.ppm",
        "\u{85}\u{2028}\u{202e}.ppm".as_bytes(),
        b"\xff\xfe\xed\xa0\x80.ppm",
    ];
    let named = |name: &&[u8]| directory.path().join(std::ffi::OsStr::from_bytes(name));
    // Those that decode, and those that do not, whose errors name them too.
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
    for kind in ["compare", "evaluate"] {
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
        let xml = fs::read_to_string(at("r.xml"))?;
        let document = roxmltree::Document::parse(&xml)?;
        let cases = document
            .descendants()
            .filter(|node| node.has_tag_name("testcase"));
        ensure(cases.count() >= bad.len(), &xml)?;
        let json: serde_json::Value = serde_json::from_slice(&fs::read(at("r.json"))?)?;
        ensure(json.to_string().contains('\u{ffff}'), &json)?;
        for name in ["r.xml", "r.html", "r.md"] {
            let text = fs::read_to_string(at(name))?;
            let unfit = |character: char| {
                character.is_control() && character != '\n'
                    || matches!(
                        character,
                        '\u{fffe}' | '\u{ffff}' | '\u{202e}' | '\u{fdd0}' | '\u{10ffff}'
                    )
            };
            ensure(!text.contains(unfit), (name, &text))?;
            // Evaluation names what is wrong, for which there is no truth here.
            ensure(kind == "evaluate" || text.contains("{ffff"), (name, text))?;
        }
    }
    Ok(())
}
