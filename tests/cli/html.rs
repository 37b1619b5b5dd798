//! The HTML report: its order, its safety, and how a browser shows it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use classify_tests::{Needs, ensure, expect_code, run, set_up, set_up_dir, small_model};
use data_encoding::BASE64;
use evaluation::Digest;
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;
use crate::reports::hostile_reports;

pub fn trials(engines: &Needs, with_set_up: &Needs) -> Vec<Trial> {
    let facts: [(&str, fn() -> Result<(), Failed>); 11] = [
        ("an_evaluation_shows_the_verdict_first", order_of_evaluation),
        ("a_comparison_shows_the_verdict_first", order_of_comparison),
        ("failed_gates_stand_before_passed_ones", failed_gates_first),
        ("the_worst_class_is_named_with_its_reason", worst_class),
        ("a_run_that_failed_stands_first", failed_run_first),
        ("a_multi_label_page_has_its_own_numbers", multi_label),
        ("file_and_class_names_are_no_markup", no_markup),
        ("charts_have_titles_and_axes", charts),
        ("a_bisection_is_a_table", bisection),
        ("the_policy_allows_only_the_script", policy),
        ("nothing_is_loaded_from_elsewhere", no_addresses),
    ];
    let mut trials: Vec<Trial> = facts
        .map(|(name, test)| engines.test(format!("html::{name}"), test))
        .into();
    let in_browser: [(&str, bool, fn() -> Result<(), Failed>); 4] = [
        ("a_browser_runs_the_script_without_complaint", false, script),
        (
            "a_browser_shows_the_page_without_the_script",
            false,
            no_script,
        ),
        ("a_class_leads_to_its_images", false, class_to_images),
        (
            "a_browser_finds_no_overflow_and_no_low_contrast",
            true,
            accessible,
        ),
    ];
    for (name, needs_axe, test) in in_browser {
        let trial = with_set_up.test(format!("html::{name}"), test);
        let lacks = chromium().is_none() || (needs_axe && axe().is_none());
        trials.push(trial.with_ignored_flag(lacks));
    }
    trials
}

/// The class of grey images for `plain.onnx`.
const GREY: usize = 10;
/// The number of images.
const IMAGES: usize = 14;
const HOSTILE: &str = "</script><script>alert(1)</script>\"'&";

/// The pages of two models that disagree, with labels and file names that are markup.
fn pages(directory: &Path) -> Result<[PathBuf; 2], Failed> {
    let images = directory.join("images");
    fs::create_dir(&images)?;
    let mut truth = String::new();
    for image in 0..IMAGES {
        let name = format!("{image}-a'&b;c-{}.ppm", "long".repeat(20));
        let bytes = [b"P6 8 8 255\n".as_slice(), &[(image * 9) as u8 + 40; 192]].concat();
        fs::write(images.join(&name), bytes)?;
        // The reference is right on all images but one.
        let class = if image == 0 { 0 } else { GREY };
        let _ = writeln!(truth, "{name}\t{class}");
    }
    fs::write(directory.join("truth.tsv"), truth)?;
    let labels = (0..12).map(|class| format!("{HOSTILE} class {class} {}\n", "long".repeat(20)));
    fs::write(directory.join("labels.txt"), labels.collect::<String>())?;
    let runs = ["plain", "reversed"].map(|name| {
        let model = small_model(&format!("{name}.onnx"));
        format!("rten={}", model.display())
    });
    let page = |arguments: &[&str], name: &str| {
        let arguments = arguments.iter().copied();
        let arguments = arguments.chain(runs.iter().map(|run| &**run));
        page(directory, &arguments.collect::<Vec<_>>(), name, 1)
    };
    let limits = ["--max-drop", "1%", "--min-top1", "0%"];
    let evaluate = [&["evaluate", "--truth", "truth.tsv"], &limits[..]].concat();
    Ok([
        page(&evaluate, "evaluate.html")?,
        page(&["compare"], "compare.html")?,
    ])
}

/// Writes a page of the images and labels in `directory`.
fn page(directory: &Path, arguments: &[&str], name: &str, code: i32) -> Result<PathBuf, Failed> {
    let file = directory.join(name);
    let mut command = classify();
    command.current_dir(directory).args(arguments);
    command.args(["--quiet", "-i", "images", "--labels", "labels.txt"]);
    let result = run(command.arg("--report").arg(&file));
    expect_code(&result, code)?;
    Ok(file)
}

/// The pages of a multi-label model, and of an evaluation and a comparison of which one run failed. `pages` wrote the
/// images and labels.
fn other_pages(directory: &Path) -> Result<[PathBuf; 3], Failed> {
    let write_truth = |classes: &dyn Fn(usize) -> String| {
        let rows = (0..IMAGES).map(|image| {
            let name = format!("{image}-a'&b;c-{}.ppm", "long".repeat(20));
            format!("{name},{}\n", classes(image))
        });
        let rows = format!("path,label\n{}", rows.collect::<String>());
        fs::write(directory.join("several.csv"), rows)
    };
    write_truth(&|_| "0".to_owned())?;
    let [plain, reversed] = ["plain", "reversed"].map(|name| {
        let model = small_model(&format!("{name}.onnx"));
        format!("rten={}", model.display())
    });
    let missing = format!("rten=lost/{}.onnx", "long".repeat(20));
    let multi = ["--truth", "several.csv", "--scores", "sigmoid"];
    let single = ["--truth", "truth.tsv", "--max-drop", "1%"];
    let of = |start: &[&str], flags: &[&str], name: &str, code| {
        page(directory, &[start, flags].concat(), name, code)
    };
    // The first model gives exactly the right classes of all images but one.
    let first = of(&["evaluate", &plain], &multi, "multi.json", 0)?;
    let first: Value = serde_json::from_slice(&fs::read(first)?)?;
    let given = first["runs"][0]["wrong"].as_array().ok_or("wrong")?;
    write_truth(&|image| {
        let classes = given[image]["answers"].as_array().into_iter().flatten();
        let classes: Vec<String> = classes.map(Value::to_string).collect();
        if image == 0 {
            "0".to_owned()
        } else {
            classes.join("|")
        }
    })?;
    let multi = [&multi[..], &["--max-drop", "1%"]].concat();
    Ok([
        of(&["evaluate", &plain, &reversed], &multi, "multi.html", 1)?,
        of(
            &["evaluate", &plain, &missing, &reversed],
            &single,
            "failed-evaluate.html",
            2,
        )?,
        of(
            &["compare", &plain, &missing, &reversed],
            &[],
            "failed-compare.html",
            2,
        )?,
    ])
}

/// Returns the text of both pages.
fn texts() -> Result<[String; 2], Failed> {
    let directory = tempfile::tempdir()?;
    let [evaluate, compare] = pages(directory.path())?;
    Ok([fs::read_to_string(evaluate)?, fs::read_to_string(compare)?])
}

/// Checks that `parts` follow each other, and that every link of the table of contents has its section.
fn in_order(page: &str, parts: &[&str]) -> Result<(), Failed> {
    let places: Vec<Option<usize>> = parts.iter().map(|part| page.find(part)).collect();
    ensure(
        places.iter().all(Option::is_some) && places.is_sorted(),
        format!("{parts:?} at {places:?}"),
    )?;
    let links: Vec<&str> = between(page, "href=\"#", "\"");
    ensure(links.len() > 4, &links)?;
    let lost = links.into_iter();
    let lost: Vec<&str> = lost
        .filter(|anchor| !page.contains(&format!("id=\"{anchor}\"")))
        .collect();
    ensure(lost.is_empty(), lost)
}

/// Returns all parts of a text between two marks.
fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
    let parts = text.split(start).skip(1);
    parts
        .map(|part| part.split(end).next().unwrap_or_default())
        .collect()
}

fn order_of_evaluation() -> Result<(), Failed> {
    let [page, _] = texts()?;
    let parts = [
        "<h1>FAILED</h1>",
        "id=\"gates\"",
        "class=\"scores\"",
        "<nav",
        "id=\"errors-1\"",
        "class=\"card\"",
        "id=\"losses\"",
        "id=\"distributions\"",
        "id=\"metrics\"",
        "id=\"runs\"",
        "<details><summary>Environment",
    ];
    in_order(&page, &parts)?;
    ensure(
        page.contains("New errors: 13 images"),
        "the number of new errors",
    )?;
    ensure(
        page.matches("class=\"card\"").count() == 13,
        "a card for each",
    )?;
    let lists = between(&page, "<div class=\"lists\">", "</article>");
    let both = lists.iter().all(|lists| lists.matches("<ol>").count() == 2);
    ensure(both && lists.len() == 13, "both lists on each card")
}

fn order_of_comparison() -> Result<(), Failed> {
    let [_, page] = texts()?;
    let parts = [
        "<h1>DISAGREE</h1>",
        "id=\"gates\"",
        "class=\"scores\"",
        "<nav",
        "id=\"images-1\"",
        "class=\"card\"",
        "id=\"classes\"",
        "id=\"distributions\"",
        "id=\"runs\"",
        "<details><summary>Environment",
    ];
    in_order(&page, &parts)
}

fn failed_gates_first() -> Result<(), Failed> {
    for page in texts()? {
        let gates = between(&page, "<li class=\"", "\"><span class=\"chip");
        let failed = gates.iter().filter(|gate| **gate == "failed").count();
        ensure(failed > 0 && failed < gates.len(), &gates)?;
        ensure(gates[..failed].iter().all(|gate| *gate == "failed"), &gates)?;
    }
    Ok(())
}

fn worst_class() -> Result<(), Failed> {
    let [page, _] = texts()?;
    let worst = between(&page, "Worst class</a>", "</p>");
    let [worst] = &worst[..] else {
        return Err(format!("{worst:?}").into());
    };
    // Of the images of class 10 all were right, and none is.
    ensure(
        worst.trim_start().starts_with("10 ")
            && worst.contains(": 13 → 0 of 13 right; of its 13 new errors, 13 classified as "),
        worst,
    )?;
    let rows = between(&page, "<td class=\"number\">−13</td>", "</tr>");
    ensure(
        rows.len() == 1 && rows[0].contains("13 → 0 of 13") && rows[0].contains("13 × "),
        rows,
    )
}

fn failed_run_first() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    pages(directory.path())?;
    let [_, evaluate, compare] = other_pages(directory.path())?;
    for (page, word) in [(evaluate, "EVALUATE"), (compare, "COMPARE")] {
        let text = fs::read_to_string(page)?;
        ensure(
            text.contains(&format!("<h1>COULD NOT {word}</h1>")),
            "the verdict",
        )?;
        let reason = between(&text, "<p class=\"reason\">", "</p>");
        ensure(reason[0].contains("1 of 3 runs failed"), &reason)?;
        ensure(!reason[0].contains("0 answers"), &reason)?;
        let cards = between(&text, "<article class=\"score\">", "</article>");
        ensure(
            cards[0].contains("no result") && cards[0].contains("the model cannot be read"),
            &cards,
        )?;
        ensure(!cards[1..].concat().contains("no result"), &cards)?;
    }
    Ok(())
}

fn multi_label() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    pages(directory.path())?;
    let [page, ..] = other_pages(directory.path())?;
    let text = fs::read_to_string(page)?;
    let cards = between(&text, "<article class=\"score\">", "</article>");
    for words in [
        "exact match, ",
        "<dt>top-1: the best class is right</dt>",
        "<dt>F1, micro</dt>",
        "<dt>mean average precision</dt>",
    ] {
        ensure(cards.iter().all(|card| card.contains(words)), words)?;
    }
    for (words, count) in [
        ("<th scope=\"row\">mean average precision</th>", 1),
        ("<th scope=\"row\">map</th>", 0),
        ("<th scope=\"row\">recall, macro</th>", 1),
        ("<th scope=\"row\">recall-macro</th>", 0),
        ("drop of top-1", 0),
        ("<dt>drop of exact match</dt>", 1),
        ("New errors: 13 images", 1),
        (">Δ margin −", 13),
    ] {
        ensure(text.matches(words).count() == count, words)?;
    }
    ensure(
        text.contains("exact match 0/14"),
        "the gate names its metric",
    )
}

fn no_markup() -> Result<(), Failed> {
    for page in texts()? {
        ensure(page.matches("<script").count() == 1, "one script")?;
        ensure(page.matches("</script").count() == 1, "one script")?;
        ensure(
            page.contains("alert(1)&#60;/script&#62;&#34;&#39;&#38; class 10"),
            "labels are escaped",
        )?;
        ensure(page.contains("-a&#39;&#38;b;c-"), "file names are escaped")?;
    }
    Ok(())
}

fn charts() -> Result<(), Failed> {
    let [evaluate, compare] = texts()?;
    for (page, names) in [
        (
            evaluate,
            &[
                "Probability of the right class in ",
                "Confusion matrix of ",
                "Reliability of ",
                "Change of the right class&#39;s probability",
            ][..],
        ),
        (
            compare,
            &[
                "Score of the best class in ",
                "Best classes of the reference and of ",
                "Largest difference of each image",
            ],
        ),
    ] {
        let figures = between(&page, "<figure>", "</figure>");
        for name in names {
            let title = format!("<figcaption><strong>{name}");
            let found = figures.iter().any(|figure| figure.starts_with(&title));
            ensure(found, format!("no chart {name}"))?;
        }
        for figure in figures {
            let axes = between(figure, "<text class=\"title\"", "</text>");
            let named = axes.iter().filter(|axis| !axis.ends_with('>')).count();
            ensure(named >= 2 && named == axes.len(), figure)?;
            // The number of images or of confusions.
            let counts = between(figure, "</strong><span>", "</span>");
            let is_counted =
                counts.len() == 1 && counts[0].contains(|it: char| it.is_ascii_digit());
            ensure(is_counted, figure)?;
            ensure(figure.contains("role=\"img\" aria-label=\""), figure)?;
        }
    }
    Ok(())
}

fn bisection() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    pages(directory.path())?;
    fs::write(directory.path().join("labels.txt"), "a\nb\nc\nd\ne\n")?;
    let [one, other] = ["split2_a", "split2_b"].map(|name| {
        let model = small_model(&format!("cases/{name}.onnx"));
        format!("rten={}", model.display())
    });
    let start = ["compare", "--bisect", &one, &other];
    let file = page(directory.path(), &start, "bisect.html", 1)?;
    let text = fs::read_to_string(file)?;
    let parts = [
        "<p class=\"reason\">rten=split2_b.onnx differs from rten=split2_a.onnx (",
        "<a href=\"#bisect\">First differing node</a> #2 bad (",
        "id=\"gates\"",
        "<section id=\"bisect\">",
        "<li>first differing node: #2 bad (",
        "<td class=\"strong\">#0 ",
        "<td class=\"strong\">#2 bad</td>",
        "<td data-label=\"verdict\">differs</td>",
        "id=\"distributions\"",
    ];
    in_order(&text, &parts)?;
    ensure(!text.contains("<pre"), "a text that scrolls sideways")?;
    // The full name is next to the engine.
    let runs = between(&text, "<section id=\"runs\">", "</section>").concat();
    ensure(runs.contains(&format!("<summary>{one} (reference)")), runs)
}

fn policy() -> Result<(), Failed> {
    for page in texts()? {
        let script = between(&page, "<script>", "</script>");
        let [script] = &script[..] else {
            return Err("one script".into());
        };
        let hash = BASE64.encode(&Digest::of(script.as_bytes()).bytes());
        let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
        let expected = format!(
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'; \
             base-uri 'none'; form-action 'none'"
        );
        ensure(policy == [&*expected], policy)?;
    }
    Ok(())
}

fn no_addresses() -> Result<(), Failed> {
    for page in texts()? {
        let sources = between(&page, " src=\"", "\"");
        let inline = |source: &&str| source.starts_with("data:image/jpeg;base64,");
        ensure(sources.len() > 5 && sources.iter().all(inline), "data URIs")?;
        let links = between(&page, " href=\"", "\"");
        ensure(links.iter().all(|link| link.starts_with('#')), links)?;
        ensure(
            !page.contains("://") && !page.contains("@import"),
            "an address",
        )?;
    }
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

/// The checks of accessibility that `cargo setup --checks` brings.
fn axe() -> Option<PathBuf> {
    set_up_dir()?;
    let script = set_up("checks/axe_playwright_python/axe.min.js");
    script.exists().then_some(script)
}

/// Returns the page as the browser has it after loading. Complaints of its console are errors.
fn dump(page: &Path, flags: &[&str]) -> Result<String, Failed> {
    let chromium = chromium().ok_or("no Chromium")?;
    let profile = tempfile::tempdir()?;
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--virtual-time-budget=60000",
        "--dump-dom",
    ]);
    command.args(flags);
    command.arg(format!("--user-data-dir={}", profile.path().display()));
    let result = run(command.arg(format!("file://{}", page.display())));
    expect_code(&result, 0)?;
    // What a page's console says is logged with this word.
    let complaints: Vec<&str> = result
        .stderr
        .lines()
        .filter(|line| line.contains("CONSOLE"))
        .collect();
    ensure(complaints.is_empty(), complaints)?;
    ensure(result.stdout.contains("</html>"), &result)?;
    Ok(result.stdout)
}

fn script() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let [evaluate, compare] = pages(directory.path())?;
    let [_, _, hostile, _] = hostile_reports(directory.path())?;
    for page in [evaluate, compare, hostile] {
        let shown = dump(&page, &[])?;
        ensure(!shown.contains("onerror=\""), "an event handler")?;
        ensure(
            shown.contains("<div class=\"tools\">"),
            "the script adds a filter",
        )?;
        ensure(
            shown.contains("<th scope=\"col\"><button type=\"button\">"),
            "and sorts",
        )?;
    }
    Ok(())
}

fn class_to_images() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for page in pages(directory.path())? {
        // The policy would forbid the click.
        let click =
            "<script>document.querySelector(\"td[data-images] button\").click()</script></body>";
        let written = fs::read_to_string(&page)?;
        let written = written.replace("http-equiv=\"Content-Security-Policy\"", "name=\"policy\"");
        fs::write(&page, written.replace("</body>", click))?;
        let shown = dump(&page, &[])?;
        ensure(shown.contains(" entries</span>"), "the filter is empty")?;
    }
    Ok(())
}

fn no_script() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for page in pages(directory.path())? {
        // A browser without scripts cannot tell its DOM.
        let written = fs::read_to_string(&page)?;
        let start = written.find("<script>").ok_or("the script")?;
        let end = written.find("</body>").ok_or("the end")?;
        let without = format!("{}{}", &written[..start], &written[end..]);
        fs::write(&page, &without)?;
        let shown = dump(&page, &[])?;
        ensure(!shown.contains("class=\"tools\""), "the script ran")?;
        let body = without.split("<body>").nth(1).unwrap_or_default();
        ensure(!body.contains(" hidden"), "something waits for the script")?;
        for part in ["class=\"card\"", "<tr", "<figure>", "<details"] {
            let [shown, written] = [&shown, &without].map(|text| text.matches(part).count());
            ensure(
                shown == written && shown > 0,
                format!("{part}: {shown} of {written}"),
            )?;
        }
    }
    Ok(())
}

/// The widths of a desktop and of a phone.
const WIDTHS: [u64; 2] = [1280, 390];

/// Checks a page in both widths and both schemes.
fn accessible() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let [evaluate, compare] = pages(directory.path())?;
    let [_, _, hostile, _] = hostile_reports(directory.path())?;
    let other = other_pages(directory.path())?;
    for page in [evaluate, compare, hostile].into_iter().chain(other) {
        let outer = with_frames(&page, directory.path())?;
        for (dark, flag) in [(false, "1"), (true, "0")] {
            let scheme = format!("--blink-settings=preferredColorScheme={flag}");
            let shown = dump(&outer, &[&scheme, "--window-size=1700,1000"])?;
            let found = between(&shown, "<pre id=\"found\">", "</pre>");
            let found = found.first().ok_or("nothing found")?;
            let found = [
                ("&lt;", "<"),
                ("&gt;", ">"),
                ("&nbsp;", " "),
                ("&amp;", "&"),
            ]
            .iter()
            .fold((*found).to_owned(), |text, (from, to)| {
                text.replace(from, to)
            });
            let found: Vec<Value> = serde_json::from_str(&found)?;
            for (width, found) in WIDTHS.into_iter().zip(&found) {
                let name = page.display();
                let context = format!("{name}, {width} px, dark {dark}: {found:#}");
                ensure(found["width"] == width && found["dark"] == dark, &context)?;
                ensure(
                    found["contrast"] == true && found["tools"].as_u64() > Some(0),
                    &context,
                )?;
                ensure(found["scroll"].as_u64() <= Some(width), &context)?;
                for kind in ["violations", "overflow", "cut", "overlapping"] {
                    ensure(found[kind] == serde_json::json!([]), &context)?;
                }
            }
        }
    }
    Ok(())
}

/// Writes a copy of the page with the checks, and a page that shows the copy in frames of all widths.
fn with_frames(page: &Path, directory: &Path) -> Result<PathBuf, Failed> {
    let axe = fs::read_to_string(axe().ok_or("no axe-core")?)?;
    let page = fs::read_to_string(page)?;
    // The policy allows no other scripts.
    let start = page.find("<meta http-equiv=").ok_or("the policy")?;
    let end = start + page[start..].find('>').ok_or("its end")? + 1;
    let checks = include_str!("browser/check.js");
    let scripts = format!("<script>{axe}</script><script>{checks}</script></body>");
    let copy = format!("{}{}", &page[..start], &page[end..]).replace("</body>", &scripts);
    fs::write(directory.join("copy.html"), copy)?;
    let frames = WIDTHS.map(|width| {
        format!("<iframe src=\"copy.html\" style=\"border: 0; width: {width}px; height: 900px\"></iframe>")
    });
    let outer = format!(
        "<!DOCTYPE html><html><body><script>{}</script>{}</body></html>",
        include_str!("browser/frames.js"),
        frames.concat()
    );
    let file = directory.join("outer.html");
    fs::write(&file, outer)?;
    Ok(file)
}
