//! Reports of `classify compare` as other programs read them.

use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Needs, ensure, expect_code, photos, python, run};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::cases::{PREPROCESSING, case};
use crate::compare::compare;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    let facts: [(&str, fn() -> Result<(), Failed>); 6] = [
        ("a_json_parser_reads_the_report", json_report),
        ("an_xml_parser_reads_gates_and_failures", junit_report),
        ("an_html_parser_reads_names_and_charts", html_report),
        ("a_file_name_is_no_markup_in_html", no_markup_in_html),
        (
            "a_file_name_is_no_markup_in_markdown",
            no_markup_in_markdown,
        ),
        ("a_job_is_annotated_with_the_worst_images", annotations),
    ];
    facts
        .map(|(name, test)| with_set_up.test(format!("reports::{name}"), test))
        .into()
}

/// A comparison with a file name that is markup, and its reports in all forms.
pub fn hostile_reports(directory: &Path) -> Result<[PathBuf; 4], Failed> {
    let hostile = directory.join("<img src=x onerror=alert(1)>|`$&\u{202e}.png");
    let photos = photos()?;
    let png = photos
        .iter()
        .find(|photo| photo.extension().is_some_and(|ending| ending == "png"));
    fs::copy(png.ok_or("a PNG")?, &hostile)?;
    let files =
        ["json", "xml", "html", "md"].map(|ending| directory.join("report").with_extension(ending));
    let runs = ["t_base", "t_gelu_tanh"].map(|name| format!("onnx={}", case(name).display()));
    let mut command = compare(&[&runs[0], &runs[1]]);
    command.args(PREPROCESSING).arg("-i");
    command.arg(&hostile).args(&photos[..6]);
    for file in &files {
        command.arg("--report").arg(file);
    }
    let result = run(&mut command);
    expect_code(&result, 1)?;
    Ok(files)
}

/// Returns what Python's parsers read in the reports with the file name that is markup.
fn read_hostile_reports() -> Result<Value, Failed> {
    let directory = tempfile::tempdir()?;
    let [json, xml, html, _] = hostile_reports(directory.path())?;
    Ok(serde_json::from_str(&python(
        "reports.py",
        [&json, &xml, &html],
    )?)?)
}

fn annotations() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("job.annotations");
    let hostile = directory.path().join("a,b::error::c %.png");
    let png = photos()?
        .into_iter()
        .find(|photo| photo.extension().is_some_and(|it| it == "png"));
    fs::copy(png.ok_or("a PNG")?, &hostile)?;
    let runs = ["t_base", "t_gelu_tanh"].map(|name| format!("onnx={}", case(name).display()));
    let mut command = compare(&[&runs[0], &runs[1]]);
    command.args(PREPROCESSING).arg("-i").arg(&hostile);
    let result = run(command.arg("--report").arg(&file));
    expect_code(&result, 1)?;
    let text = fs::read_to_string(&file)?;
    let lines: Vec<&str> = text.lines().collect();
    ensure(
        lines[0].starts_with("::error title=classify compare::DISAGREE: "),
        &text,
    )?;
    ensure(
        lines.iter().all(|line| line.starts_with("::error title=")),
        &text,
    )?;
    let gates = lines.iter().filter(|line| line.contains("gate "));
    ensure(gates.count() >= 1, &text)?;
    let image = lines
        .iter()
        .filter(|line| line.contains("a%2Cb%3A%3Aerror%3A%3Ac %25.png::"));
    ensure(image.count() == 1, &text)
}

fn json_report() -> Result<(), Failed> {
    let read = read_hostile_reports()?;
    ensure(read["pictures"] == 7, &read)?;
    ensure(read["verdict"] == "disagree", &read["verdict"])
}

fn junit_report() -> Result<(), Failed> {
    let read = read_hostile_reports()?;
    let failures = read["failures"].as_u64();
    ensure(failures.is_some_and(|failures| failures >= 2), &read)?;
    let cases = read["cases"].as_array().ok_or("cases")?;
    let having = |text: &str| {
        let cases = cases.iter().map(Value::to_string);
        cases.filter(|case| case.contains(text)).count()
    };
    ensure(having("gate ") >= 3, cases)?;
    ensure(having("onerror") > 0, cases)
}

fn html_report() -> Result<(), Failed> {
    let read = read_hostile_reports()?;
    let text = read["text"].as_str().unwrap_or_default();
    ensure(
        text.contains("onerror=alert(1)") && text.contains("\\u{202e}"),
        text,
    )?;
    ensure(
        read["elements"]["img"] == 7 && read["elements"]["circle"].as_u64() > Some(6),
        &read["elements"],
    )
}

fn no_markup_in_html() -> Result<(), Failed> {
    let read = read_hostile_reports()?;
    ensure(read["elements"]["script"] == 1, &read["elements"])?;
    let handlers = read["handlers"].as_array();
    ensure(handlers.is_some_and(Vec::is_empty), &read["handlers"])?;
    let directory = tempfile::tempdir()?;
    let [_, _, html, _] = hostile_reports(directory.path())?;
    let page = fs::read_to_string(html)?;
    ensure(
        !page.contains("<img src=x") && !page.contains("://"),
        "markup of a file name, or an address",
    )
}

fn no_markup_in_markdown() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let [_, _, _, markdown] = hostile_reports(directory.path())?;
    let markdown = fs::read_to_string(markdown)?;
    ensure(
        !markdown.replace("\\<", "").contains('<') && markdown.starts_with("### classify compare"),
        markdown,
    )
}
