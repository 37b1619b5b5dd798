//! Packages of the requirement files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::stamps::Scope;
use crate::failure::on;
use crate::pip::Kind;
use crate::python::scripts;
use crate::requirements::{Requirement, parse};

/// The packages that the set-up fetches.
#[derive(Debug)]
pub struct Packages {
    pub packages: Vec<(Requirement, Kind)>,
}

impl Packages {
    /// Reads the packages of a scope.
    pub fn read(scope: Scope) -> Result<Self> {
        let mut packages = Vec::new();
        for (file, kind) in [
            ("tools.txt", Kind::Tool),
            ("data.txt", Kind::Data),
            ("source.txt", Kind::Source),
        ] {
            let parsed = read_requirements(file)?.into_iter();
            let parsed = parsed.filter(|requirement| scope.needs(&requirement.name));
            packages.extend(parsed.map(|requirement| (requirement, kind)));
        }
        Ok(Self { packages })
    }

    pub fn all(&self) -> impl Iterator<Item = &Requirement> {
        self.packages.iter().map(|(requirement, _)| requirement)
    }

    pub fn get(&self, name: &str) -> Result<&Requirement> {
        self.all()
            .find(|requirement| requirement.name == name)
            .with_context(|| format!("no requirement file names {name}"))
    }
}

pub fn read_requirements(file: &str) -> Result<Vec<Requirement>> {
    let path = requirement_file(file);
    let text = fs::read_to_string(&path).map_err(on("read", &path))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

pub fn requirement_file(name: &str) -> PathBuf {
    scripts().join("requirements").join(name)
}
