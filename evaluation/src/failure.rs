//! Results that are missing, and why.

use std::borrow::Cow;
use std::error::Error;
use std::path::PathBuf;

use image_classification::ImageError;
use serde::Serialize;

use crate::text::chain;

/// The reason why a result is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A stable name of the kind of error, in kebab case.
    pub code: &'static str,
    /// The error and its causes, safe to print.
    pub message: String,
    /// The next step for the user, if one is known.
    pub hint: Option<String>,
}

impl Problem {
    /// Returns the problem of `error` and its causes.
    pub fn new(code: &'static str, error: &(dyn Error + 'static), hint: Option<String>) -> Self {
        Self {
            code,
            message: chain(error),
            hint,
        }
    }
}

impl From<&ImageError> for Problem {
    fn from(error: &ImageError) -> Self {
        Self::new(error.code(), error, error.hint().map(str::to_owned))
    }
}

impl From<&backend_api::Error> for Problem {
    fn from(error: &backend_api::Error) -> Self {
        let code = error.kind().as_str();
        Self::new(code, error, error.hint().map(str::to_owned))
    }
}

/// An answer that is missing.
#[derive(Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub(crate) struct FailureJson<'a> {
    /// The image. `None` if the failure is not about one image.
    path: Option<Cow<'a, str>>,
    /// The run. `None` if the failure concerns all runs.
    run: Option<&'a str>,
    /// A stable name of the kind of problem.
    code: &'a str,
    /// The error, for people.
    message: &'a str,
}

/// A result that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The place of the image, if the failure is about one.
    pub image: Option<usize>,
    /// The place of the run, if the failure is about one alone.
    pub run: Option<usize>,
    /// The reason.
    pub problem: Problem,
}

impl Failure {
    /// Returns a failure that is not about one image.
    pub const fn whole(problem: Problem) -> Self {
        Self {
            image: None,
            run: None,
            problem,
        }
    }

    /// Returns the failure of all runs for an image.
    pub const fn image(image: usize, problem: Problem) -> Self {
        Self {
            image: Some(image),
            run: None,
            problem,
        }
    }

    /// Returns the failure of one run for an image.
    pub const fn run(image: usize, run: usize, problem: Problem) -> Self {
        Self {
            image: Some(image),
            run: Some(run),
            problem,
        }
    }

    /// Returns the object of the JSON report; `name` gives the names of runs.
    pub(crate) fn json<'a>(
        &'a self,
        images: &'a [PathBuf],
        name: impl FnOnce(usize) -> &'a String,
    ) -> FailureJson<'a> {
        FailureJson {
            path: self.image.map(|image| images[image].to_string_lossy()),
            run: self.run.map(|run| &**name(run)),
            code: self.problem.code,
            message: &self.problem.message,
        }
    }
}
