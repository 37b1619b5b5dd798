//! The Python environments in which engines are installed.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, iter};

/// More links in a row are a circle.
const MOST_LINKS: usize = 40;
/// A `pyvenv.cfg` has a few lines.
const MOST_BYTES: u64 = 1 << 16;

/// The path by which the program was started.
static STARTED_AS: OnceLock<PathBuf> = OnceLock::new();

/// Tells every search of this process by which `name` the program was started: the first of its arguments.
///
/// An environment may hold only a link to the program, as those of `uv` do. The system resolves that link, so the place of
/// the program does not lead to the environment. The name does. Call this before the first search. A name that does
/// not lead to the running program has no effect, and neither has a second call.
pub fn set_started_as(name: &OsStr) {
    let program = env::current_exe().and_then(|program| program.canonicalize());
    if let Ok(program) = program
        && let Some(path) = resolve(name, env::var_os("PATH").as_deref(), &program)
    {
        // The first call counts.
        let _ = STARTED_AS.set(path);
    }
}

/// Returns the absolute path to which `name` leads, without resolving links. The file must be `program`.
fn resolve(name: &OsStr, search_path: Option<&OsStr>, program: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| path.canonicalize().is_ok_and(|file| file == program);
    let path = Path::new(name);
    if path.components().count() > 1 {
        // Whoever started the program by a relative path has chosen that place.
        return std::path::absolute(path).ok().filter(is_program);
    }
    // The current directory, which an empty or relative entry means, is no choice.
    env::split_paths(search_path?)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(is_program)
}

/// Returns the paths of the running program: the file itself, then the links that lead to it, back to the one by which
/// it was started.
pub fn program_paths() -> Vec<PathBuf> {
    let program = env::current_exe().and_then(|program| program.canonicalize());
    chain(program.ok(), STARTED_AS.get().cloned())
}

fn chain(program: Option<PathBuf>, started_as: Option<PathBuf>) -> Vec<PathBuf> {
    let links = iter::successors(started_as, |link| {
        let target = fs::read_link(link).ok()?;
        Some(link.parent()?.join(target))
    });
    let mut paths: Vec<PathBuf> = links.take(MOST_LINKS).collect();
    paths.extend(program);
    paths.reverse();
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
}

/// Returns the Python environments in which the running program is installed: the parents of the `bin` (on Windows
/// `Scripts`) directories that hold it or the links to it. A program in another directory has none: a downloads directory
/// may be next to any file.
pub fn program_environments() -> Vec<PathBuf> {
    environments_of(&program_paths())
}

fn environments_of(programs: &[PathBuf]) -> Vec<PathBuf> {
    let mut environments = Vec::new();
    for program in programs {
        let directory = program.parent();
        let directory = directory.filter(|it| it.ends_with("bin") || it.ends_with("Scripts"));
        if let Some(prefix) = directory.and_then(Path::parent) {
            let prefix = prefix.to_path_buf();
            if !environments.contains(&prefix) {
                environments.push(prefix);
            }
        }
    }
    environments
}

/// Returns the directories in which the environment `prefix` and those that it extends keep packages, newest Python first.
/// They need not exist.
///
/// A virtual environment may extend the Python that made it (`--system-site-packages`), and another environment
/// (`uv run --with`).
pub fn package_parents(prefix: &Path) -> Vec<PathBuf> {
    let (home, search_path) = (home_directory(), env::var_os("PATH"));
    package_parents_for(prefix, home.as_deref(), search_path.as_deref())
}

fn package_parents_for(
    prefix: &Path,
    home: Option<&Path>,
    search_path: Option<&OsStr>,
) -> Vec<PathBuf> {
    let mut parents = own_package_parents(prefix);
    for extended in extended_environments(prefix, home, search_path) {
        parents.extend(own_package_parents(&extended));
    }
    parents
}

fn own_package_parents(prefix: &Path) -> Vec<PathBuf> {
    let mut parents = Vec::new();
    // Some systems keep packages with machine code in `lib64`.
    let libraries = ["lib", "lib64"].map(|name| prefix.join(name));
    let mut versions: Vec<(Reverse<u32>, PathBuf)> = libraries
        .iter()
        .filter_map(|library| fs::read_dir(library).ok())
        .flat_map(Iterator::flatten)
        .filter_map(|entry| {
            // As a number: as text, 3.9 would be newer than 3.11. A `t` ends the name of a Python without the lock.
            let name = entry.file_name();
            let minor = name.to_str()?.strip_prefix("python3.")?;
            let minor = minor.strip_suffix('t').unwrap_or(minor).parse().ok()?;
            Some((Reverse(minor), entry.path()))
        })
        .collect();
    versions.sort();
    // Debian's Python has its own name for packages, and one directory for all versions.
    for (_, version) in versions {
        parents.extend(["site-packages", "dist-packages"].map(|name| version.join(name)));
    }
    parents.push(prefix.join("lib").join("python3").join("dist-packages"));
    if cfg!(windows) {
        parents.push(prefix.join("Lib").join("site-packages"));
    }
    // `pip install` with a target directory puts packages into it and programs into its `bin`.
    parents.push(prefix.to_path_buf());
    parents
}

/// Returns the directory in which the conda environment `prefix` keeps libraries; `None` for another environment.
pub(crate) fn conda_libraries(prefix: &Path) -> Option<PathBuf> {
    let libraries = if cfg!(windows) { "Library/bin" } else { "lib" };
    let is_conda = prefix.join("conda-meta").is_dir();
    is_conda.then(|| prefix.join(libraries))
}

/// Returns the prefixes whose packages the virtual environment `prefix` sees as well, by its `pyvenv.cfg`.
fn extended_environments(
    prefix: &Path,
    home: Option<&Path>,
    search_path: Option<&OsStr>,
) -> Vec<PathBuf> {
    let settings = read_settings(&prefix.join("pyvenv.cfg"));
    let value = |name: &str| {
        let mut lines = settings.lines().filter_map(|line| line.split_once('='));
        let (_, value) = lines.find(|(key, _)| key.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim())
    };
    let directory =
        |name: &str| Some(PathBuf::from(value(name)?)).filter(|path| path.is_absolute());
    let mut extended: Vec<PathBuf> = directory("extends-environment").into_iter().collect();
    if !extended.is_empty() {
        // uv puts the packages of `--with` into a third environment, of which only the search path tells.
        extended.splice(0..0, environments_on(search_path));
    }
    if value("include-system-site-packages").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
        // The packages of the user come before those of the system.
        extended.extend(home.map(|home| home.join(".local")));
        if let Some(programs) = directory("home") {
            let base = programs.parent().filter(|_| programs.ends_with("bin"));
            let base = base.unwrap_or(&programs);
            // Debian's Python in /usr keeps what pip installs in /usr/local.
            extended.push(base.join("local"));
            extended.push(base.to_path_buf());
        }
    }
    extended
}

/// Returns the virtual environments whose programs are on the search path.
fn environments_on(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let directories = env::split_paths(search_path.unwrap_or_default());
    let programs: Vec<PathBuf> = directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join("python"))
        .collect();
    let mut environments = environments_of(&programs);
    environments.retain(|environment| environment.join("pyvenv.cfg").is_file());
    environments
}

fn read_settings(path: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = model_file::open_regular(path) {
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
    }
    text
}

fn home_directory() -> Option<PathBuf> {
    let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    home.map(PathBuf::from).filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    #[test]
    fn newest_python_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let prefix = directory.path();
        for python in ["lib/python3.9", "lib/python3.14t", "lib64/python3.11"] {
            fs::create_dir_all(prefix.join(python)).unwrap();
        }
        let parents = package_parents_for(prefix, None, None);
        let expected = [
            "lib/python3.14t/site-packages",
            "lib/python3.14t/dist-packages",
            "lib64/python3.11/site-packages",
            "lib64/python3.11/dist-packages",
            "lib/python3.9/site-packages",
        ];
        assert_eq!(parents[..5], expected.map(|it| prefix.join(it)));
        assert_eq!(parents.last().unwrap(), prefix);
    }

    #[test]
    fn an_environment_may_extend_others() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        let prefixes = [
            "venv",
            "with",
            "project",
            "home/.local",
            "base/local",
            "base",
        ];
        for prefix in prefixes {
            fs::create_dir_all(at(prefix).join("lib/python3.11")).unwrap();
        }
        touch(&at("with/pyvenv.cfg"));
        let programs = [PathBuf::from("with/bin"), at("with/bin"), at("base/bin")];
        let search_path = env::join_paths(programs).unwrap();
        // The names of the environments in which packages are seen, in their order.
        let sees = |settings: &str| -> Vec<&str> {
            fs::write(at("venv/pyvenv.cfg"), settings).unwrap();
            let home = at("home");
            let parents = package_parents_for(&at("venv"), Some(&home), Some(&search_path));
            let prefix_of = |parent: PathBuf| {
                let is_in =
                    |prefix: &&str| parent == at(prefix).join("lib/python3.11/site-packages");
                prefixes.into_iter().find(is_in)
            };
            parents.into_iter().filter_map(prefix_of).collect()
        };
        let home = format!("home = {}\n", at("base/bin").display());
        let all = "include-system-site-packages = true\n";
        let project = format!("extends-environment = {}\n", at("project").display());
        let none = "include-system-site-packages = false\n";
        assert_eq!(sees(&home), ["venv"]);
        assert_eq!(sees(&format!("{home}{none}")), ["venv"]);
        let system = ["venv", "home/.local", "base/local", "base"];
        assert_eq!(sees(&format!("{home}{all}")), system);
        assert_eq!(sees(&project), ["venv", "with", "project"]);
        assert_eq!(sees(&format!("{project}{home}{all}")), prefixes);
        // A relative path would mean the current directory.
        let relative = format!("home = bin\nextends-environment = .\n{all}");
        assert_eq!(sees(&relative), ["venv", "home/.local"]);
    }

    #[test]
    fn only_a_directory_of_programs_belongs_to_an_environment() {
        let paths = [
            "/a/downloads/classify",
            "/b/bin/classify",
            "/c/Scripts/classify",
            "/b/bin/other",
            "/bin/classify",
        ];
        let environments = environments_of(&paths.map(PathBuf::from));
        assert_eq!(environments, ["/b", "/c", "/"].map(PathBuf::from));
    }

    #[cfg(unix)]
    #[test]
    fn links_to_the_program_are_kept() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        let program = at("cache/scripts/classify");
        touch(&program);
        for directory in ["tool/bin", "home/bin", "other/bin"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        symlink(&program, at("tool/bin/classify")).unwrap();
        symlink("../../tool/bin/classify", at("home/bin/classify")).unwrap();
        touch(&at("other/bin/classify"));

        let path = env::join_paths([PathBuf::new(), ".".into(), at("other/bin"), at("home/bin")]);
        let path = path.unwrap();
        let resolve = |name: &OsStr| resolve(name, Some(&path), &program);
        // Another program of that name is passed over.
        let started_as = resolve(OsStr::new("classify")).unwrap();
        assert_eq!(started_as, at("home/bin/classify"));
        let link = at("tool/bin/classify");
        assert_eq!(resolve(link.as_os_str()), Some(link.clone()));
        // A name that anybody could have invented.
        for invented in [at("other/bin/classify"), at("none/bin/classify")] {
            assert_eq!(resolve(invented.as_os_str()), None);
        }
        assert_eq!(resolve(OsStr::new("none")), None);

        let paths = chain(Some(program.clone()), Some(started_as));
        let tool = at("home/bin/../../tool/bin/classify");
        assert_eq!(paths, [program, tool, at("home/bin/classify")]);
        let environments = environments_of(&paths);
        assert_eq!(environments.len(), 2);
        assert_eq!(environments[0].canonicalize().unwrap(), at("tool"));

        symlink(at("home/bin/a"), at("home/bin/b")).unwrap();
        symlink(at("home/bin/b"), at("home/bin/a")).unwrap();
        assert_eq!(chain(None, Some(at("home/bin/a"))).len(), 2);
    }

    #[test]
    fn conda_keeps_libraries_without_python() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(conda_libraries(root.path()), None);
        fs::create_dir(root.path().join("conda-meta")).unwrap();
        assert!(conda_libraries(root.path()).is_some());
    }
}
