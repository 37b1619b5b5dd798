//! Images of all kinds: none vanishes, and those that were once answered wrongly have the right pixels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, checkout, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::{classify, small_images};

type Test = fn() -> Result<(), Failed>;

pub fn trials(engines: &Needs) -> Vec<Trial> {
    let on_engines: [(&str, Test); 6] = [
        ("pixels_are_pillows", pixels),
        ("images_in_other_formats_fail_by_name", other_formats),
        ("other_formats_are_in_every_report", reports),
        ("quiet_keeps_the_count_of_skipped_files", quiet),
        ("patterns_match_names_that_are_not_utf_8", patterns),
        ("remarks_on_images_are_notes", remarks),
    ];
    on_engines
        .map(|(name, test)| engines.test(format!("images::{name}"), test))
        .into()
}

/// The means of the channels after a bilinear resize to 16 x 16.
fn means(image: &Path) -> Result<[f64; 3], Failed> {
    let mut command = classify();
    command.args(["--backend", "onnx", "--format", "json", "--scores", "raw"]);
    command.args(["--color", "rgb", "--mean", "0,0,0", "--scale", "1,1,1"]);
    command.args(["--resize", "stretch", "--interpolation", "bilinear"]);
    command.arg("-m").arg(small_model("channel-means.onnx"));
    let run = run(command.arg("-i").arg(image));
    expect_code(&run, 0)?;
    let answer: Value = serde_json::from_str(&run.stdout)?;
    let mut means = [0.0; 3];
    for class in answer["top"].as_array().ok_or("no classes")? {
        let place = class["class_id"].as_u64().ok_or("a class")? as usize;
        means[place] = class["score"].as_f64().ok_or("a mean")?;
    }
    Ok(means)
}

/// The values are Pillow's.
fn pixels() -> Result<(), Failed> {
    for (name, expected) in [
        ("cmyk-pillow-subsampling2.jpg", [150.5, 133.3203, 130.3164]),
        (
            "gif-first-frame-smaller.gif",
            [248.9375, 230.0938, 230.0938],
        ),
        ("tiff-bigtiff.tif", [150.5352, 133.3086, 130.3281]),
        (
            "tiff-rgb+nir-deflate-predictor2.tif",
            [150.5156, 133.2969, 130.3086],
        ),
        ("tiff-rgb-lzw-tiled.tif", [106.9336, 131.6445, 119.3984]),
        (
            "webp-exif-prefix-orientation6.webp",
            [150.5469, 133.4258, 130.4336],
        ),
    ] {
        let found = means(&checkout().join("tests/data/cases").join(name))?;
        let differs = found
            .iter()
            .zip(expected)
            .any(|(found, expected)| (found - expected).abs() > 1e-3);
        ensure(!differs, (name, found, expected))?;
    }
    Ok(())
}

/// `a.ppm` and `b.ppm`, which are images, 5 images in formats that are not decoded, and 2 non-image files.
fn mixed() -> Result<(tempfile::TempDir, Vec<&'static str>), Failed> {
    let (directory, _, _) = small_images()?;
    let others: [(&str, &[u8]); 5] = [
        ("c.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("d.jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
        // The name does not matter.
        ("e", b"8BPS\0\x01\0\0"),
        ("f.cr2", b"II*\0\x10\0\0\0CR\x02\0"),
        ("g.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"),
    ];
    for (name, head) in others {
        let mut bytes = head.to_vec();
        bytes.resize(400, 0);
        fs::write(directory.path().join(name), bytes)?;
    }
    for name in ["notes.txt", "table.csv"] {
        fs::write(directory.path().join(name), "no image")?;
    }
    Ok((directory, others.map(|(name, _)| name).to_vec()))
}

fn command(subcommand: &[&str]) -> Command {
    let mut command = classify();
    command.args(subcommand);
    command
        .args(["--color", "rgb", "-m"])
        .arg(small_model("plain.onnx"));
    command
}

fn other_formats() -> Result<(), Failed> {
    let (directory, others) = mixed()?;
    let path = directory.path();
    let of_directory = run(command(&["--backend", "onnx"]).arg("-i").arg(path));
    expect_code(&of_directory, 1)?;
    let stderr = &of_directory.stderr;
    for name in &others {
        let line = format!("error: {}: ", path.join(name).display());
        ensure(stderr.contains(&line), (name, &of_directory))?;
    }
    for format in ["HEIC", "JPEG 2000", "PSD", "camera raw", "AVIF"] {
        ensure(stderr.contains(format), (format, &of_directory))?;
    }
    ensure(
        stderr.contains("heif-convert")
            && stderr.contains("5 of 7 inputs failed")
            && stderr.contains("skipped 2 non-image files (1 .csv, 1 .txt)"),
        &of_directory,
    )?;
    // As when they are named one by one.
    let files: Vec<PathBuf> = others.iter().map(|name| path.join(name)).collect();
    let by_name = run(command(&["--backend", "onnx"]).arg("-i").args(&files));
    expect_code(&by_name, 1)?;
    for line in by_name
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: /"))
    {
        ensure(stderr.contains(line), (line, &of_directory))?;
    }
    Ok(())
}

fn reports() -> Result<(), Failed> {
    let (directory, others) = mixed()?;
    let out = tempfile::tempdir()?;
    let truth = out.path().join("truth.txt");
    let lines: Vec<String> = ["a.ppm", "b.ppm"]
        .iter()
        .chain(&others)
        .map(|name| format!("{name} 1\n"))
        .collect();
    fs::write(&truth, lines.concat())?;
    for subcommand in ["compare", "evaluate"] {
        for ending in ["json", "md", "xml", "html"] {
            let report = out.path().join(format!("{subcommand}.{ending}"));
            let mut command = command(&[subcommand, "onnx", "--quiet"]);
            if subcommand == "compare" {
                command.arg("rten");
            } else {
                command.arg("--truth").arg(&truth);
            }
            command.arg("--report").arg(&report);
            let run = run(command.arg("-i").arg(directory.path()));
            expect_code(&run, 2)?;
            let text = fs::read_to_string(&report)?;
            for name in &others {
                ensure(text.contains(name), (name, &report, &run))?;
            }
        }
    }
    Ok(())
}

fn quiet() -> Result<(), Failed> {
    let (directory, _, _) = small_images()?;
    fs::write(directory.path().join("notes.txt"), "no image")?;
    let run = run(command(&["--backend", "onnx", "--quiet"])
        .arg("-i")
        .arg(directory.path()));
    expect_code(&run, 0)?;
    // The note on guessed preprocessing stays, too.
    let notes = run.stderr.lines().filter(|line| line.starts_with("note: "));
    ensure(notes.eq(["note: skipped 1 non-image file"]), run)
}

fn patterns() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    #[cfg(unix)]
    let name = {
        use std::os::unix::ffi::OsStrExt as _;
        std::ffi::OsStr::from_bytes(b"caf\xe9.jpg").to_owned()
    };
    #[cfg(not(unix))]
    let name = std::ffi::OsString::from("café.jpg");
    fs::copy(a, directory.path().join(name))?;
    let run = run(command(&["--backend", "onnx", "--format", "json"])
        .arg("-i")
        .arg(directory.path().join("*.jpg"))
        .arg(directory.path().join("*.ppm")));
    expect_code(&run, 0)?;
    ensure(run.stdout.lines().count() == 3, run)
}

/// A 16-bit image of 12 bits.
fn remarks() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("deep.pgm");
    let mut bytes = b"P5 8 8 65535\n".to_vec();
    bytes.extend((0..64_u16).flat_map(|value| (value * 64).to_be_bytes()));
    fs::write(&path, bytes)?;
    let run = run(command(&["--backend", "onnx"]).arg("-i").arg(&path));
    expect_code(&run, 0)?;
    let note = format!(
        "note: {}: all values of the 16-bit image fit in 12 bits",
        path.display()
    );
    ensure(run.stderr.contains(&note), run)
}
