//! Reports of `classify compare` as other programs read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, photos, python, run};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::cases::{PREPROCESSING, case};
use crate::compare::compare;

pub fn trials(with_set_up: &Needs) -> Vec<Trial> {
    vec![
        with_set_up.test("reports::other_programs_read_them", reports),
        with_set_up
            .test("reports::a_browser_shows_the_page", browser)
            .with_ignored_flag(chromium().is_none()),
    ]
}

/// A comparison with a file name that is markup, and its reports in all forms.
fn hostile_reports(folder: &Path) -> Result<[PathBuf; 4], Failed> {
    let hostile = folder.join("<img src=x onerror=alert(1)>|`$&\u{202e}.png");
    let photos = photos()?;
    let png = photos
        .iter()
        .find(|photo| photo.extension().is_some_and(|ending| ending == "png"));
    fs::copy(png.ok_or("a PNG")?, &hostile)?;
    let files =
        ["json", "xml", "html", "md"].map(|ending| folder.join("report").with_extension(ending));
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

fn reports() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let [json, xml, html, markdown] = hostile_reports(folder.path())?;
    let read: Value = serde_json::from_str(&python("reports.py", [&json, &xml, &html])?)?;
    ensure(read["pictures"] == 7, &read)?;
    ensure(read["elements"]["script"].is_null(), &read["elements"])?;
    ensure(
        read["handlers"].as_array().is_some_and(Vec::is_empty),
        &read["handlers"],
    )?;
    let page = fs::read_to_string(&html)?;
    ensure(
        !page.contains("<img src=x") && !page.contains("://"),
        "markup of a file name, or an address",
    )?;
    let markdown = fs::read_to_string(markdown)?;
    ensure(
        !markdown.replace("\\<", "").contains('<') && markdown.starts_with("### classify compare"),
        &markdown,
    )?;
    ensure(read["verdict"] == "disagree", &read["verdict"])?;
    ensure(
        read["failures"]
            .as_u64()
            .is_some_and(|failures| failures >= 2),
        &read,
    )?;
    let cases = read["cases"].as_array().ok_or("cases")?;
    ensure(
        cases
            .iter()
            .filter(|case| case.to_string().contains("gate "))
            .count()
            >= 3,
        cases,
    )?;
    ensure(
        cases
            .iter()
            .any(|case| case.to_string().contains("onerror")),
        cases,
    )?;
    let text = read["text"].as_str().unwrap_or_default();
    ensure(
        text.contains("onerror=alert(1)") && text.contains("\\u{202e}"),
        text,
    )?;
    ensure(
        read["elements"]["img"] == 7 && read["elements"]["circle"].as_u64() > Some(6),
        &read["elements"],
    )?;
    Ok(())
}

/// A browser to look at pages with, where there is one.
fn chromium() -> Option<&'static str> {
    let usual = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    usual.into_iter().find(|path| Path::new(path).exists())
}

/// The browser shows the page without a complaint.
fn browser() -> Result<(), Failed> {
    let chromium = chromium().ok_or("no Chromium")?;
    let folder = tempfile::tempdir()?;
    let [_, _, html, _] = hostile_reports(folder.path())?;
    let profile = folder.path().join("profile");
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        "--dump-dom",
    ]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    let result = run(command.arg(format!("file://{}", html.display())));
    expect_code(&result, 0)?;
    ensure(
        result.stdout.contains("classify compare") && result.stdout.contains("</html>"),
        &result,
    )?;
    ensure(!result.stdout.contains("onerror=\""), "an event handler")?;
    // What a page's console says is logged with this word.
    let complaints: Vec<&str> = result
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    ensure(complaints.is_empty(), complaints)
}
