//! The spans of `tracing` that a test has caused.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Subscriber, subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// A span that has been closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub name: &'static str,
    /// The name of the span around it.
    pub parent: Option<&'static str>,
    /// Its fields, as text.
    pub fields: BTreeMap<&'static str, String>,
    /// The name of the thread that was in it.
    pub thread: Option<String>,
}

/// Returns the spans that were closed while `run` ran, in the order in which they were opened. (They close in any order:
/// a slot may end its inference before the call that submitted it returns.) Spans that it opened in other threads count
/// too. The parent of such a span does not: the registry closes a parent by the default subscriber of the thread.
pub fn record(run: impl FnOnce()) -> Vec<Span> {
    let spans = Arc::default();
    let recorder = Recorder(Arc::clone(&spans));
    subscriber::with_default(Registry::default().with(recorder), run);
    let spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
    spans.iter().flatten().cloned().collect()
}

/// The spans by the order in which they were opened. Those that are still open are `None`.
struct Recorder(Arc<Mutex<Vec<Option<Span>>>>);

/// The data of an open span.
#[derive(Default)]
struct Open {
    place: usize,
    fields: Fields,
    thread: Option<String>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut open = Open::default();
        attributes.record(&mut open.fields);
        if let Some(span) = context.span(id) {
            let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            open.place = spans.len();
            spans.push(None);
            span.extensions_mut().insert(open);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.fields);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.thread = std::thread::current().name().map(str::to_owned);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let Some(Open {
            place,
            fields,
            thread,
        }) = span.extensions_mut().remove()
        else {
            return;
        };
        let closed = Span {
            name: span.name(),
            parent: span.parent().map(|parent| parent.name()),
            fields: fields.0,
            thread,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[place] = Some(closed);
    }
}
