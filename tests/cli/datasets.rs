//! Ground truth in the forms that datasets have, with RTen.

use std::fs;
use std::path::{Path, PathBuf};

use classify_tests::{Run, ensure, expect_code, run, small_model};
use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::classify;

type Test = fn() -> Result<(), Failed>;

pub fn trials() -> Vec<Trial> {
    let tests: [(&str, Test); 15] = [
        ("synset_directories_are_classes_of_imagenet", synsets),
        ("synsets_need_to_know_the_background", background),
        ("loc_val_solution_is_read_as_it_is", loc_solution),
        ("metadata_next_to_images_is_found", metadata),
        ("several_metadata_files_are_an_error", two_files),
        ("sorted_directories_are_class_ids", sorted),
        ("directories_with_numbers_are_ambiguous", numbers),
        ("numbers_of_directories_are_ids_or_labels", numbered_labels),
        ("a_column_label_is_never_of_two_meanings", column_label),
        ("repeated_failures_are_counted_by_kind", repeated),
        ("unknown_classes_are_one_error", unknown),
        ("entries_that_fit_several_images_are_one_error", shared),
        ("columns_are_chosen_by_a_flag", columns),
        ("quotes_in_a_header_shift_no_column", quoted_header),
        ("files_that_are_no_text_are_named", no_text),
    ];
    let trial = |(name, test): (&str, Test)| Trial::test(format!("datasets::{name}"), test);
    tests.into_iter().map(trial).collect()
}

/// Images of different greys in a temporary directory.
struct Images {
    directory: tempfile::TempDir,
}

impl Images {
    fn new(paths: &[&str]) -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        for (number, path) in paths.iter().enumerate() {
            let path = directory.path().join("images").join(path);
            fs::create_dir_all(path.parent().ok_or("parent")?)?;
            let bytes = [&b"P6 8 8 255\n"[..], &[(20 + 30 * number) as u8; 192]].concat();
            fs::write(path, bytes)?;
        }
        Ok(Self { directory })
    }

    fn write(&self, path: &str, text: &str) -> Result<PathBuf, Failed> {
        let path = self.directory.path().join(path);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Evaluates a model of the tests. Returns the output and the JSON report, if there is one.
    fn evaluate(&self, model: &str, flags: &[&str], code: i32) -> Result<(Run, Value), Failed> {
        let mut command = classify();
        command.current_dir(self.directory.path());
        command.args(["evaluate", "rten", "-r", "-i", "images", "-m"]);
        command.arg(small_model(model)).args(flags);
        let result = run(command.args(["--report", "report.json"]));
        expect_code(&result, code)?;
        let report = fs::read(self.directory.path().join("report.json")).unwrap_or_default();
        Ok((result, serde_json::from_slice(&report).unwrap_or_default()))
    }
}

/// The classes of the wrong images by their paths. Every test gives classes that the models do not answer.
fn wrong(report: &Value) -> Vec<(String, u64)> {
    let wrong = report["runs"][0]["wrong"].as_array();
    let image = |image: &Value| {
        let path = Path::new(image["path"].as_str()?).file_name()?;
        Some((
            path.to_string_lossy().into_owned(),
            image["class_id"].as_u64()?,
        ))
    };
    wrong.into_iter().flatten().filter_map(image).collect()
}

fn expect_wrong(report: &Value, expected: &[(&str, u64)]) -> Result<(), Failed> {
    let expected = expected.iter().map(|(path, id)| ((*path).to_owned(), *id));
    let expected: Vec<_> = expected.collect();
    ensure(wrong(report) == expected, (wrong(report), expected))
}

/// The table of the 1000 classes, which is a file of labels, too.
fn table() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../evaluation/src/accuracy/imagenet_synsets.txt");
    path.to_string_lossy().into_owned()
}

fn synsets() -> Result<(), Failed> {
    let images = Images::new(&["n01440764/a.ppm", "n15075141/b.ppm", "n02123045/c.ppm"])?;
    let (result, json) = images.evaluate("with-background.onnx", &["--labels", &table()], 0)?;
    let words = "ground truth: ImageNet synset directories, 3 classes, 3 images";
    ensure(result.stderr.contains(words), &result)?;
    let truth = &json["ground_truth"];
    ensure(
        truth["form"] == "synset-directories" && truth["classes"] == 3 && truth["pictures"] == 3,
        truth,
    )?;
    // Class 0 of the model is the background.
    expect_wrong(&json, &[("a.ppm", 1), ("c.ppm", 282), ("b.ppm", 1000)])
}

fn background() -> Result<(), Failed> {
    let images = Images::new(&["n01440764/a.ppm", "n15075141/b.ppm"])?;
    let (result, _) = images.evaluate("with-background.onnx", &[], 2)?;
    ensure(
        result.stderr.contains("the model has 1001 classes")
            && result.stderr.contains("`--label-offset 1`"),
        &result,
    )?;
    let (_, json) = images.evaluate("with-background.onnx", &["--label-offset", "1"], 0)?;
    expect_wrong(&json, &[("a.ppm", 1), ("b.ppm", 1000)])?;
    // 12 classes are not ImageNet's.
    let (result, _) = images.evaluate("plain.onnx", &[], 2)?;
    ensure(result.stderr.contains("12 classes and no labels"), &result)
}

fn loc_solution() -> Result<(), Failed> {
    let images = Images::new(&["ILSVRC2012_val_00000001.ppm", "ILSVRC2012_val_00000002.ppm"])?;
    let text = "ImageId,PredictionString\n\
        ILSVRC2012_val_00000002,n02123045 1 2 3 4 n02123045 5 6 7 8 \n\
        ILSVRC2012_val_00000001,n15075141 1 2 3 4 \n";
    images.write("images/LOC_val_solution.csv", text)?;
    let flags = ["--label-offset", "1"];
    let (result, json) = images.evaluate("with-background.onnx", &flags, 0)?;
    let words = "ground truth: images/LOC_val_solution.csv, ImageNet's LOC_val_solution.csv, 2 classes, 2 images";
    ensure(result.stderr.contains(words), &result)?;
    let [one, two] = [1, 2].map(|number| format!("ILSVRC2012_val_0000000{number}.ppm"));
    expect_wrong(&json, &[(&one, 1000), (&two, 282)])?;
    images.write(
        "images/LOC_val_solution.csv",
        "ImageId,PredictionString\na,cat\n",
    )?;
    let (result, _) = images.evaluate("with-background.onnx", &flags, 2)?;
    ensure(
        result.stderr.contains("line 2: \"cat\" is not a synset"),
        &result,
    )?;
    images.write("words.txt", "n01440764 tench, Tinca tinca\n")?;
    let flags = ["--truth", "words.txt"];
    let (result, _) = images.evaluate("with-background.onnx", &flags, 2)?;
    ensure(result.stderr.contains("names no images"), &result)
}

fn metadata() -> Result<(), Failed> {
    let lines =
        "{\"file_name\": \"a.ppm\", \"label\": 3}\n{\"file_name\": \"b.ppm\", \"label\": \"4\"}\n";
    for (name, text, form) in [
        (
            "metadata.csv",
            "file_name,label\na.ppm,3\nb.ppm,4\n",
            "a CSV file",
        ),
        ("metadata.jsonl", lines, "a file of JSON lines"),
    ] {
        let images = Images::new(&["a.ppm", "b.ppm"])?;
        images.write(&format!("images/{name}"), text)?;
        let (result, json) = images.evaluate("plain.onnx", &[], 0)?;
        let words = format!("ground truth: images/{name}, {form}, 2 classes, 2 images");
        ensure(result.stderr.contains(&words), &result)?;
        expect_wrong(&json, &[("a.ppm", 3), ("b.ppm", 4)])?;
    }
    let images = Images::new(&["a.ppm"])?;
    let lines = "{\"file_name\": \"a.ppm\", \"labels\": [3, 4]}\n";
    images.write("images/metadata.jsonl", lines)?;
    let (_, json) = images.evaluate("plain.onnx", &["--scores", "sigmoid"], 0)?;
    let ids = &json["runs"][0]["wrong"][0]["class_ids"];
    ensure(*ids == serde_json::json!([3, 4]), ids)?;
    let images = Images::new(&["a.ppm"])?;
    let (result, _) = images.evaluate("plain.onnx", &[], 2)?;
    ensure(result.stderr.contains("there is no ground truth"), &result)
}

fn two_files() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm"])?;
    for name in ["metadata.csv", "metadata.jsonl"] {
        images.write(&format!("images/{name}"), "file_name,label\na.ppm,3\n")?;
    }
    let (result, _) = images.evaluate("plain.onnx", &[], 2)?;
    ensure(
        result.stderr.contains("could be the ground truth") && result.stderr.contains("--truth"),
        &result,
    )
}

fn sorted() -> Result<(), Failed> {
    let images = Images::new(&["cat/a.ppm", "zebra/b.ppm"])?;
    let flags = ["--truth-folders=sorted"];
    let (result, _) = images.evaluate("three-classes.onnx", &flags, 2)?;
    ensure(
        result.stderr.contains("2 class directories") && result.stderr.contains("3 classes"),
        &result,
    )?;
    // A directory without images has a number, too.
    fs::create_dir(images.directory.path().join("images/dog"))?;
    let (result, json) = images.evaluate("three-classes.onnx", &flags, 0)?;
    let words = "class directories in alphabetical order, 2 classes, 2 images";
    ensure(result.stderr.contains(words), &result)?;
    let classes = json["runs"][0]["classes"].as_array().ok_or("classes")?;
    let ids: Vec<_> = classes
        .iter()
        .map(|class| class["class_id"].as_u64())
        .collect();
    ensure(ids == [Some(0), Some(2)], &ids)?;
    images.write("labels", "cat\nzebra\ndog\n")?;
    let flags = ["--truth-folders=sorted", "--labels", "labels"];
    let (result, _) = images.evaluate("three-classes.onnx", &flags, 2)?;
    ensure(result.stderr.contains("\"dog\" is class 1"), &result)
}

fn numbers() -> Result<(), Failed> {
    let paths = (0..12).map(|number| format!("{number}/a{number}.ppm"));
    let paths: Vec<String> = paths.collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).take(8).collect();
    let images = Images::new(&paths)?;
    for number in 8..12 {
        fs::create_dir(images.directory.path().join(format!("images/{number}")))?;
    }
    images.evaluate("plain.onnx", &[], 0)?;
    let moved = ["images/1", "images/10"].map(|name| images.directory.path().join(name));
    fs::remove_dir(&moved[1])?;
    fs::rename(&moved[0], &moved[1])?;
    fs::create_dir(&moved[0])?;
    let (result, _) = images.evaluate("plain.onnx", &[], 2)?;
    ensure(
        result.stderr.contains("\"10\" is class 1")
            && result.stderr.contains("`--truth-folders=sorted`"),
        &result,
    )?;
    let of = |flag: &str| -> Result<Vec<u64>, Failed> {
        let (_, json) = images.evaluate("plain.onnx", &[flag], 0)?;
        let classes = json["runs"][0]["classes"]
            .as_array()
            .ok_or("classes")?
            .clone();
        Ok(classes
            .iter()
            .filter_map(|class| class["class_id"].as_u64())
            .collect())
    };
    let names = of("--truth-folders")?;
    ensure(names == [0, 2, 3, 4, 5, 6, 7, 10], &names)?;
    // Sorted: 0, 1, 10, 11, 2, 3, …
    let sorted = of("--truth-folders=sorted")?;
    ensure(sorted == [0, 2, 4, 5, 6, 7, 8, 9], &sorted)
}

/// The ids of the classes of the images.
fn ids(json: &Value) -> Result<Vec<u64>, Failed> {
    let classes = json["runs"][0]["classes"].as_array().ok_or("classes")?;
    let ids = classes
        .iter()
        .filter_map(|class| class["class_id"].as_u64());
    Ok(ids.collect())
}

fn numbered_labels() -> Result<(), Failed> {
    let images = Images::new(&["1/a.ppm", "10/b.ppm", "2/c.ppm"])?;
    images.write("labels", "0\n1\n10\n11\n2\n3\n4\n5\n6\n7\n8\n9\n")?;
    let of = |how: &str, code: i32| {
        let flag = format!("--truth-folders={how}");
        images.evaluate("plain.onnx", &[&flag, "--labels", "labels"], code)
    };
    ensure(ids(&of("ids", 0)?.1)? == [1, 2, 10], "ids")?;
    ensure(ids(&of("labels", 0)?.1)? == [1, 2, 4], "labels")?;
    let (result, _) = of("names", 2)?;
    let words = "2 of 3 images have a number that is the id of one class and the label of another, the first is \
                 images/10/b.ppm: the ground truth says \"10\", which is the id of class 10, but the label of class 2";
    ensure(result.stderr.contains(words), &result)?;
    let hint = "`--truth-folders=ids` or `--truth-folders=labels`";
    ensure(
        result.stderr.contains(hint) && !result.stderr.contains("sorted"),
        &result,
    )?;
    let (result, _) = images.evaluate("plain.onnx", &["--labels", "labels"], 2)?;
    let hint = "`--truth-folders=ids` for class ids, `--truth-folders=labels` for labels";
    ensure(result.stderr.contains(hint), &result)
}

fn column_label() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm", "b.ppm", "c.ppm", "d.ppm"])?;
    let labels: Vec<String> = (1..=12).map(|label| format!("{label}\n")).collect();
    images.write("labels", &labels.concat())?;
    let flags = ["--truth", "truth.csv", "--labels", "labels"];
    let of = |column: &str, classes: [u64; 4], more: &[&str], code: i32| {
        let rows = ["a", "b", "c", "d"].iter().zip(classes);
        let rows: Vec<String> = rows
            .map(|(name, class)| format!("{name}.ppm,{class}\n"))
            .collect();
        images.write("truth.csv", &format!("path,{column}\n{}", rows.concat()))?;
        images.evaluate("plain.onnx", &[&flags, more].concat(), code)
    };
    // Only labels, as there is no id 12. Ids of which some are labels of other classes. Both.
    ensure(
        ids(&of("label", [1, 2, 3, 12], &[], 0)?.1)? == [0, 1, 2, 11],
        "labels",
    )?;
    let (result, _) = of("label", [0, 1, 2, 3], &[], 2)?;
    let words = "3 of 4 images have a number that is the id of one class and the label of another";
    ensure(result.stderr.contains(words), &result)?;
    for words in [
        "`class_id` or `class_label`",
        "add a header",
        "--truth-columns",
    ] {
        ensure(result.stderr.contains(words), &result)?;
    }
    of("label", [1, 2, 3, 4], &[], 2)?;
    ensure(
        ids(&of("class_id", [1, 2, 3, 4], &[], 0)?.1)? == [1, 2, 3, 4],
        "ids",
    )?;
    ensure(
        ids(&of("class_label", [1, 2, 3, 4], &[], 0)?.1)? == [0, 1, 2, 3],
        "labels",
    )?;
    let offset = ["--label-offset", "-1"];
    ensure(
        ids(&of("label", [1, 2, 3, 4], &offset, 0)?.1)? == [0, 1, 2, 3],
        "offset",
    )
}

fn repeated() -> Result<(), Failed> {
    let names: Vec<String> = (10..36).map(|number| format!("{number}.ppm")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let images = Images::new(&names)?;
    for (place, name) in names.iter().enumerate() {
        let bytes: &[u8] = if place % 2 == 0 {
            b"P6 8 8 255\n"
        } else {
            b"no image"
        };
        fs::write(images.directory.path().join("images").join(name), bytes)?;
    }
    let rows: Vec<String> = names.iter().map(|name| format!("{name} 1\n")).collect();
    images.write("truth", &rows.concat())?;
    let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth"], 2)?;
    let lines: Vec<&str> = result
        .stderr
        .lines()
        .filter(|line| line.contains(" 3 more images: "))
        .collect();
    ensure(lines.len() == 2 && lines[0] != lines[1], &result)?;
    ensure(lines.iter().any(|line| line.contains("PNM")), &lines)
}

fn shared() -> Result<(), Failed> {
    let images = Images::new(&["a/0.ppm", "b/0.ppm", "c/0.ppm", "a/1.ppm", "b/1.ppm"])?;
    images.write("truth", "0.ppm 1\n1.ppm 2\n")?;
    let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth"], 2)?;
    let words = "the entry \"0.ppm\" of the ground truth fits several images, such as images/a/0.ppm and \
                 images/b/0.ppm; so does another entry";
    let errors = result
        .stderr
        .lines()
        .filter(|line| line.starts_with("error"));
    ensure(
        errors.count() == 1 && result.stderr.contains(words),
        &result,
    )
}

fn unknown() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm", "b.ppm", "c.ppm", "d.ppm"])?;
    images.write(
        "truth.csv",
        "path,label\na.ppm,1\nb.ppm,12\nc.ppm,13\nd.ppm,2\n",
    )?;
    let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth.csv"], 2)?;
    let words = "the model lacks the classes of 2 of 4 images, the first is images/b.ppm";
    let lines = result
        .stderr
        .lines()
        .filter(|line| line.starts_with("error"));
    ensure(result.stderr.contains(words) && lines.count() == 2, &result)
}

fn columns() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm"])?;
    images.write(
        "truth.csv",
        "file_name,label,category,Weather\na.ppm,1,2,7\n",
    )?;
    let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth.csv"], 2)?;
    ensure(
        result
            .stderr
            .contains("\"label\" and \"category\" could each be the class")
            && result.stderr.contains("--truth-columns"),
        &result,
    )?;
    let with = |columns| ["--truth", "truth.csv", "--truth-columns", columns];
    let (_, json) = images.evaluate("plain.onnx", &with("file_name,weather"), 0)?;
    expect_wrong(&json, &[("a.ppm", 7)])?;
    let (result, _) = images.evaluate("plain.onnx", &with("file_name,wind"), 2)?;
    ensure(
        result.stderr.contains("there is no column \"wind\""),
        &result,
    )?;
    let (result, _) = images.evaluate("plain.onnx", &with("wind"), 2)?;
    ensure(
        result.stderr.contains("--truth-columns has 1 names"),
        &result,
    )
}

fn quoted_header() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm"])?;
    let header = "file_name,\"caption, en\",label,prediction";
    images.write("truth.csv", &format!("{header}\na.ppm,x,7,10\n"))?;
    for flags in [
        &["--truth", "truth.csv"][..],
        &["--truth", "truth.csv", "--truth-columns", "file_name,label"],
    ] {
        let (_, json) = images.evaluate("plain.onnx", flags, 0)?;
        expect_wrong(&json, &[("a.ppm", 7)])?;
    }
    images.write("truth.csv", "file_name,\"caption\nen\",label\na.ppm,x,7\n")?;
    let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth.csv"], 2)?;
    let words = "the quotes of the header in line 1 do not end on that line";
    ensure(result.stderr.contains(words), &result)
}

fn no_text() -> Result<(), Failed> {
    let images = Images::new(&["a.ppm"])?;
    for (bytes, words) in [
        (
            &b"\xff\xfea\0 \x001\0\n\0"[..],
            "truth: it is UTF-16\nhint: save",
        ),
        (
            b"\x1f\x8b\x08\0\0\0\0\0\0\0",
            "truth: it is gzip\nhint: decompress",
        ),
    ] {
        fs::write(images.directory.path().join("truth"), bytes)?;
        let (result, _) = images.evaluate("plain.onnx", &["--truth", "truth"], 2)?;
        ensure(result.stderr.contains(words), &result)?;
    }
    Ok(())
}
