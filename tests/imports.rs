//! The files of a crate that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The path of a module from the root of its crate.
type Module = Vec<String>;

/// An import: the path, and the name that it gets. A re-export counts only if its own file uses the name; otherwise
/// names lead through it.
struct Use {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

/// A file of a crate.
struct File {
    path: PathBuf,
    uses: Vec<Use>,
    /// Paths in the code. Those that begin with `crate`, `self`, `super` or a child module lead to files.
    paths: Vec<Vec<String>>,
    /// Names in the code, the imports left out.
    names: BTreeSet<String>,
}

impl File {
    fn imports(&self) -> impl Iterator<Item = &Vec<String>> {
        let is_used = |import: &&Use| !import.is_public || self.names.contains(&import.name);
        let uses = self.uses.iter().filter(is_used);
        uses.map(|import| &import.path).chain(&self.paths)
    }
}

/// Returns the groups of two or more files under `sources` of which each imports each, directly or over others, largest
/// first. Tests do not count. A module may call its child modules, or its child modules may use its items; both are a
/// circle.
pub fn circles(sources: &Path) -> Vec<Vec<PathBuf>> {
    let files = read(sources);
    let modules: Vec<&Module> = files.keys().collect();
    let place = |module: &Module| modules.iter().position(|other| *other == module).unwrap();
    let mut reaches: Vec<BTreeSet<usize>> = files
        .iter()
        .map(|(module, file)| {
            let targets = file.imports();
            let targets = targets.filter_map(|path| resolve(&files, module, path, 0));
            targets.map(|target| place(&target)).collect()
        })
        .collect();
    for through in 0..reaches.len() {
        let beyond = reaches[through].clone();
        for reached in &mut reaches {
            if reached.contains(&through) {
                reached.extend(&beyond);
            }
        }
    }
    let mut found = BTreeSet::new();
    for (one, reached) in reaches.iter().enumerate() {
        let mutual = reached.iter().copied();
        let mutual: BTreeSet<usize> = mutual
            .filter(|other| reaches[*other].contains(&one))
            .collect();
        if mutual.len() > 1 {
            found.insert(mutual);
        }
    }
    let name = |place: usize| {
        let path = &files[modules[place]].path;
        path.strip_prefix(sources).unwrap_or(path).to_owned()
    };
    let mut circles: Vec<Vec<PathBuf>> = found
        .into_iter()
        .map(|circle| circle.into_iter().map(name).collect())
        .collect();
    circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    circles
}

/// The module whose file has what `path` in `module` names; `None` for another crate.
fn resolve(
    files: &BTreeMap<Module, File>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    let mut segments = path.iter();
    let mut target = match segments.next()?.as_str() {
        "crate" => Module::new(),
        "self" => module.clone(),
        "super" => parent(module),
        first => {
            let child = child(module, first);
            files.contains_key(&child).then_some(child)?
        }
    };
    let mut rest = segments.as_slice();
    while let Some((segment, after)) = rest.split_first() {
        let next = match segment.as_str() {
            "super" => parent(&target),
            segment => child(&target, segment),
        };
        if !files.contains_key(&next) {
            break;
        }
        (target, rest) = (next, after);
    }
    // The name may be imported where it was found.
    let name = rest.first();
    let through = files[&target]
        .uses
        .iter()
        .find(|import| Some(&import.name) == name && depth < 8);
    through
        .and_then(|import| resolve(files, &target, &import.path, depth + 1))
        .or(Some(target))
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

fn child(module: &Module, name: &str) -> Module {
    let mut child = module.clone();
    child.push(name.to_owned());
    child
}

fn read(sources: &Path) -> BTreeMap<Module, File> {
    let mut files = BTreeMap::new();
    let mut open = vec![sources.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let module = module(path.strip_prefix(sources).expect("in the sources"));
                if module.last().is_none_or(|name| name != "tests") {
                    let code = std::fs::read_to_string(&path).expect("a source file");
                    files.insert(module, parse(path, &code));
                }
            }
        }
    }
    files
}

fn module(path: &Path) -> Module {
    let segments = path.with_extension("");
    let segments = segments
        .iter()
        .map(|name| name.to_string_lossy().into_owned());
    let mut module: Module = segments.collect();
    let is_index = |name: &String| ["mod", "lib", "main"].contains(&&**name);
    if module.last().is_some_and(is_index) {
        module.pop();
    }
    module
}

fn parse(path: PathBuf, code: &str) -> File {
    let code = without_tests(code);
    let tokens = tokens(code);
    let mut file = File {
        path,
        uses: Vec::new(),
        paths: Vec::new(),
        names: BTreeSet::new(),
    };
    let mut place = 0;
    while place < tokens.len() {
        let token = tokens[place].as_str();
        let before = &tokens[..place];
        place += 1;
        // `use<'a>` of a returned type imports nothing.
        if token == "use" && tokens.get(place).is_some_and(|next| next != "<") {
            let end = place
                + tokens[place..]
                    .iter()
                    .position(|token| token == ";")
                    .unwrap_or(0);
            let is_public = before
                .iter()
                .rev()
                .take_while(|token| !["}", ";", "]", "{"].contains(&&***token))
                .any(|token| token == "pub");
            let mut rest = &tokens[place..end];
            expand(&mut rest, &[], is_public, &mut file.uses);
            place = end;
        } else if is_name(token) {
            let mut path = vec![token.to_owned()];
            while let [colons, name, ..] = &tokens[place..]
                && colons == "::"
                && is_name(name)
            {
                path.push(name.clone());
                place += 2;
            }
            // A field is not a module, and `::image` is the crate even if there is a module of that name.
            let is_path = before
                .last()
                .is_none_or(|last| !["::", "."].contains(&&**last));
            if !is_path {
                continue;
            }
            file.names.insert(token.to_owned());
            // `pub(in crate::a)` states who may import.
            let is_visibility = before.ends_with(&["pub", "(", "in"].map(str::to_owned));
            if path.len() > 1 && !is_visibility {
                file.paths.push(path);
            }
        }
    }
    file
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Returns the code before the tests, which stand at the end. `mod tests;` ends nothing: its file is elsewhere.
pub fn without_tests(code: &str) -> &str {
    let mut starts = code.match_indices("\n#[cfg(").map(|(start, _)| start);
    let is_tests = |start: &usize| {
        let mut lines = code[start + 1..].lines();
        let condition = lines.next().unwrap_or_default();
        let is_test = condition == "#[cfg(test)]" || condition.starts_with("#[cfg(all(test");
        let mut item = lines.skip_while(|line| line.starts_with("#["));
        let item = item.next().unwrap_or_default();
        is_test && item.starts_with("mod ") && !item.ends_with(';')
    };
    let end = starts.find(is_tests);
    end.map_or(code, |end| &code[..end])
}

/// Returns names, `::` and single characters, without comments, texts and lifetimes.
pub fn tokens(code: &str) -> Vec<String> {
    let characters: Vec<char> = code.chars().collect();
    let is_name = |character: char| character.is_alphanumeric() || character == '_';
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(&character) = characters.get(place) {
        let rest = &characters[place..];
        place += match rest {
            ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
            ['/', '*', ..] => {
                let end = rest.windows(2).position(|pair| pair == ['*', '/']);
                end.map_or(rest.len(), |end| end + 2)
            }
            ['r', '#', '"', ..] => {
                let end = rest.windows(2).position(|pair| pair == ['"', '#']);
                end.map_or(rest.len(), |end| end + 2)
            }
            ['"', ..] => text_length(rest),
            ['\'', '\\', ..] => {
                2 + rest[2..].iter().skip(1).take_while(|c| **c != '\'').count() + 2
            }
            ['\'', _, '\'', ..] => 3,
            [':', ':', ..] => {
                tokens.push("::".to_owned());
                2
            }
            _ if is_name(character) => {
                let name: String = rest.iter().copied().take_while(|c| is_name(*c)).collect();
                let length = name.chars().count();
                tokens.push(name);
                length
            }
            _ => {
                if !character.is_whitespace() {
                    tokens.push(character.to_string());
                }
                1
            }
        };
    }
    tokens
}

/// The length of the text that `rest` begins with, quotes included.
fn text_length(rest: &[char]) -> usize {
    let mut length = 1;
    while let Some(character) = rest.get(length) {
        length += match character {
            '\\' => 2,
            '"' => return length + 1,
            _ => 1,
        };
    }
    length
}

/// Adds the imports of a tree such as `a::{b, c as d, e::*}`.
fn expand(rest: &mut &[String], before: &[String], is_public: bool, uses: &mut Vec<Use>) {
    let mut path = before.to_vec();
    // `a::{self}` is `a`.
    let mut is_self = false;
    while let Some((token, after)) = rest.split_first() {
        match token.as_str() {
            "::" => *rest = after,
            "{" => {
                *rest = after;
                while rest.first().is_some_and(|token| token != "}") {
                    expand(rest, &path, is_public, uses);
                    if rest.first().is_some_and(|token| token == ",") {
                        *rest = &rest[1..];
                    }
                }
                *rest = rest.get(1..).unwrap_or_default();
                return;
            }
            "," | "}" => break,
            "as" => {
                let name = after.first().cloned().unwrap_or_default();
                *rest = after.get(1..).unwrap_or_default();
                uses.push(Use {
                    path,
                    name,
                    is_public,
                });
                return;
            }
            name => {
                if name == "self" && !path.is_empty() {
                    is_self = true;
                } else {
                    path.push(name.to_owned());
                }
                *rest = after;
            }
        }
    }
    if path.len() > before.len() || is_self {
        let name = path.last().cloned().unwrap_or_default();
        uses.push(Use {
            path,
            name,
            is_public,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, code) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, code).unwrap();
        }
        directory
    }

    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<PathBuf>> {
        circles(crate_of(files).path())
    }

    #[test]
    fn circles_are_found_through_nested_imports_paths_and_re_exports() {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c;\npub use c::deep::C;"),
            (
                "a.rs",
                "use std::fmt;\nuse crate::{b::{self, B as Renamed}, fmt2};",
            ),
            ("b.rs", "fn b() -> super::C { crate::C }"),
            ("c/mod.rs", "pub mod deep;"),
            ("c/deep.rs", "use super::super::a::*;\npub struct C;"),
        ]);
        assert_eq!(found, [["a.rs", "b.rs", "c/deep.rs"].map(PathBuf::from)]);
    }

    #[test]
    fn re_exports_comments_texts_and_tests_are_no_imports() {
        let found = circles_of(&[
            (
                "lib.rs",
                "mod a; mod b;\npub use a::A;\npub(crate) use b::B;",
            ),
            (
                "a.rs",
                "// use crate::b;\nconst A: &str = \"crate::b::B\";\n#[cfg(test)]\nmod tests { use crate::b::B; }",
            ),
            (
                "b.rs",
                "use crate::A;\nconst QUOTE: char = '\"'; const C: char = '\\''; fn b<'a>() {}",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn module_that_calls_children_which_use_its_items_is_a_circle() {
        let found = circles_of(&[
            (
                "lib.rs",
                "mod a;\nmod b;\npub struct Shared;\nfn all() { a::one(); b::two() }",
            ),
            ("a.rs", "use super::Shared;\npub fn one() {}"),
            ("b.rs", "pub fn two() {}"),
        ]);
        assert_eq!(found, [["lib.rs", "a.rs"].map(PathBuf::from)]);
    }

    #[test]
    fn items_that_a_module_only_imports_make_no_circle() {
        let found = circles_of(&[
            (
                "lib.rs",
                "mod a;\nmod shared;\nuse shared::Shared;\nfn all() { a::one(Shared) }",
            ),
            ("a.rs", "use super::Shared;\npub fn one(_: Shared) {}"),
            ("shared.rs", "pub struct Shared;"),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn re_export_that_its_file_uses_is_an_import() {
        let found = circles_of(&[
            (
                "lib.rs",
                "mod a;\npub use a::A;\npub struct Shared;\nfn a() -> A { A }",
            ),
            ("a.rs", "use super::Shared;\npub struct A;"),
        ]);
        assert_eq!(found, [["lib.rs", "a.rs"].map(PathBuf::from)]);
    }

    #[test]
    fn code_after_the_declaration_of_a_test_file_counts() {
        let code = "mod a;\n#[cfg(test)]\nmod tests;\nuse b::B;\n#[cfg(test)]\nmod more {\n}";
        let until = code.find("\n#[cfg(test)]\nmod more").unwrap();
        assert_eq!(without_tests(code), &code[..until]);
    }

    #[test]
    fn visibility_and_paths_of_other_crates_are_no_imports() {
        let found = circles_of(&[
            ("lib.rs", "mod image;\nfn all() { image::one() }"),
            (
                "image.rs",
                "pub(in crate::image) fn one() { ::image::two(x.image::<u8>()) }",
            ),
        ]);
        assert!(found.is_empty(), "{found:?}");
    }
}
