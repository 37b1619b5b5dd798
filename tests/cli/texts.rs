//! The text of `compare` and `evaluate`: the verdict first, short, and in colours on request.

use std::fs;

use classify_tests::{Needs, Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};

use crate::{classify, small_images};

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, fn() -> Result<(), Failed>); 7] = [
        ("the_verdict_is_first_and_details_are_on_request", verdict),
        ("a_failed_gate_follows_the_verdict", failed_gate),
        ("colours_are_for_terminals", colours),
        ("a_rejected_run_leaves_no_empty_heading", no_heading),
        ("quiet_leaves_the_line_about_the_file_out", written_line),
        ("reports_have_a_closing_line", written_reports),
        ("names_add_no_lines", names),
    ];
    tests
        .map(|(name, test)| Needs::nothing().test(format!("texts::{name}"), test))
        .into()
}

/// Compares on two small images.
fn compare(model: &str, flags: &[&str], environment: &[(&str, &str)]) -> Result<Run, Failed> {
    let (_directory, a, b) = small_images()?;
    let other = format!("rten={}", small_model(model).display());
    let mut command = classify();
    command.envs(environment.iter().copied());
    command.args(["compare", "--quiet", "rten", &other, "-m"]);
    command.arg(small_model("plain.onnx")).args(flags);
    Ok(run(command.arg("-i").args([a, b])))
}

fn verdict() -> Result<(), Failed> {
    let brief = compare("plain.onnx", &[], &[])?;
    expect_code(&brief, 0)?;
    let lines: Vec<&str> = brief.stdout.lines().collect();
    ensure(lines[0].starts_with("AGREE: "), &brief)?;
    ensure(lines[1].contains("limit 0.0001"), &brief)?;
    ensure(lines.len() <= 15, &brief)?;
    let detailed = compare("plain.onnx", &["--verbose"], &[])?;
    ensure(
        detailed
            .stdout
            .starts_with(brief.stdout.lines().next().ok_or("a line")?),
        &detailed,
    )?;
    for detail in ["KL divergence", "passed finite", "worst images", "SHA-256"] {
        let is_detail = detailed.stdout.contains(detail) && !brief.stdout.contains(detail);
        ensure(is_detail, (detail, &detailed))?;
    }
    Ok(())
}

fn failed_gate() -> Result<(), Failed> {
    let differs = compare("reversed.onnx", &[], &[])?;
    expect_code(&differs, 1)?;
    let lines: Vec<&str> = differs.stdout.lines().collect();
    // The list of the runs has the whole path.
    let short = "DISAGREE: rten=reversed.onnx differs from rten ";
    let full = format!("rten={}: RTen", small_model("reversed.onnx").display());
    ensure(lines[0].starts_with(short), &differs)?;
    ensure(differs.stdout.matches(&full).count() == 1, &differs)?;
    ensure(
        lines[1].starts_with("  FAILED max-delta: max |Δp| "),
        &differs,
    )
}

fn colours() -> Result<(), Failed> {
    let plain = compare("plain.onnx", &[], &[])?;
    ensure(!plain.stdout.contains('\u{1b}'), &plain)?;
    for (model, colour) in [
        ("plain.onnx", "\u{1b}[32m"),
        ("reversed.onnx", "\u{1b}[31m"),
    ] {
        let forced = compare(model, &[], &[("CLICOLOR_FORCE", "1")])?;
        let first = forced.stdout.lines().next().ok_or("a line")?;
        ensure(
            first.contains(colour) && first.contains("AGREE\u{1b}[0m: "),
            first,
        )?;
        let json = compare(model, &["--format", "json"], &[("CLICOLOR_FORCE", "1")])?;
        ensure(!json.stdout.contains('\u{1b}'), &json)?;
    }
    Ok(())
}

fn no_heading() -> Result<(), Failed> {
    let (directory, a, _) = small_images()?;
    let truth = directory.path().join("truth");
    fs::write(&truth, "a.ppm 1\n")?;
    let mut command = classify();
    command.args(["evaluate", "--quiet", "rten:GPU", "--truth"]);
    command.arg(truth).arg("-m").arg(small_model("plain.onnx"));
    let rejected = run(command.arg("-i").arg(a));
    expect_code(&rejected, 2)?;
    let is_blank = |line: &str| !line.is_empty() && line.trim().is_empty();
    ensure(!rejected.stdout.lines().any(is_blank), &rejected)?;
    ensure(
        rejected
            .stdout
            .contains("rten:GPU: FAILED: device GPU is not available"),
        &rejected,
    )
}

fn written_line() -> Result<(), Failed> {
    for (flags, is_there) in [(&[][..], true), (&["--quiet"], false)] {
        let (directory, a, b) = small_images()?;
        let mut command = classify();
        command.args([a, b]).args(["--backend", "rten", "-m"]);
        command.arg(small_model("plain.onnx")).args(flags);
        let file = directory.path().join("results.txt");
        let done = run(command.arg("-o").arg(&file));
        expect_code(&done, 0)?;
        let line = format!("wrote 2 results to {}", file.display());
        ensure(done.stderr.contains(&line) == is_there, &done)?;
    }
    Ok(())
}

fn written_reports() -> Result<(), Failed> {
    for (flags, is_there) in [(&[][..], true), (&["--quiet"], false)] {
        let (directory, a, b) = small_images()?;
        let mut command = classify();
        command.current_dir(directory.path());
        command.args(["compare", "rten", "rten", "-m"]);
        command.arg(small_model("plain.onnx")).args(flags);
        command.args(["--report=a.html", "--record=b.jsonl"]);
        let done = run(command.arg("-i").args([a, b]));
        expect_code(&done, 0)?;
        let line = "wrote a.html, b.jsonl\n";
        ensure(done.stderr.ends_with(line) == is_there, &done)?;
    }
    Ok(())
}

/// Line breaks in names of files are escaped in errors and notes.
fn names() -> Result<(), Failed> {
    let (directory, ..) = small_images()?;
    let at = directory.path();
    let model = at.join("m\nnote: fake.onnx");
    fs::copy(small_model("plain.onnx"), &model)?;
    fs::write(model.with_extension("labels"), "a\n".repeat(12))?;
    let evaluated = |flags: &[&str]| {
        let mut command = classify();
        command.current_dir(at).args(["evaluate", "rten", "-m"]);
        run(command
            .arg(&model)
            .args(["--verbose", "-i", "a.ppm"])
            .args(flags))
    };
    fs::write(at.join("t\nerror: fake"), "a.ppm 10\n")?;
    let found = evaluated(&["--truth", "t\nerror: fake"]);
    expect_code(&found, 0)?;
    let missing = evaluated(&["--truth", "u\nerror: fake"]);
    expect_code(&missing, 2)?;
    let words = "error: cannot use the ground truth u\\nerror: fake: ";
    ensure(missing.stderr.contains(words), &missing)?;
    for result in [found, missing] {
        let all = [&*result.stdout, &*result.stderr].concat();
        let mut lines = all.lines();
        let forged =
            lines.any(|line| line.starts_with("error: fake") || line.starts_with("note: fake"));
        ensure(!forged, &result)?;
    }
    Ok(())
}
