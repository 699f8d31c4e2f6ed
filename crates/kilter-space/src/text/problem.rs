//! What is wrong with a text, and where.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{
    Diagnostic, LabeledSpan, MietteError, MietteSpanContents, Severity, SourceCode, SourceSpan, SpanContents,
};

/// A text and where its lines begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    name: String,
    raw: String,
    /// As it may be shown: control characters, which a terminal would obey, are blank.
    text: String,
    lines: Vec<usize>,
}

/// Lines longer than this are shown in part: a list of ten thousand choices is one line.
const LONGEST_LINE: usize = 160;

/// Messages longer than this are cut: what is allowed may be ten thousand choices.
const LONGEST_MESSAGE: usize = 400;

/// How much of a long line is shown before a place in it.
const LEAD: usize = 40;

impl Source {
    pub(super) fn new(name: &str, text: &str) -> Self {
        let mut shown = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' | '\t' => shown.push(c),
                c if c.is_control() => shown.extend(std::iter::repeat_n(' ', c.len_utf8())),
                c => shown.push(c),
            }
        }
        let lines = std::iter::once(0).chain(shown.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.to_owned(), raw: text.to_owned(), text: shown, lines }
    }

    /// Something wrong at `span` (in bytes).
    pub(super) fn problem(self: &Arc<Self>, message: impl Into<String>, span: Range<usize>) -> Problem {
        Problem { places: vec![self.fit(span)], ..self.problem_of_all(message) }
    }

    /// Something wrong with the text as a whole.
    pub(super) fn problem_of_all(self: &Arc<Self>, message: impl Into<String>) -> Problem {
        let mut message = message.into();
        if message.len() > LONGEST_MESSAGE {
            message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
            message.push('…');
        }
        Problem { source: self.clone(), message, places: Vec::new(), help: None, severity: Severity::Error }
    }

    /// What is written at `span`.
    pub(super) fn slice(&self, span: &Range<usize>) -> &str {
        self.raw.get(span.clone()).unwrap_or_default()
    }

    /// Where a line begins, counted from 1; the text's end for one beyond the last.
    pub(super) fn line_start(&self, line: usize) -> usize {
        self.lines.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// `span` within the text, on the borders of characters, within one line, and not empty.
    fn fit(&self, span: Range<usize>) -> Range<usize> {
        let text = &self.text;
        let mut start = text.floor_char_boundary(span.start.min(text.trim_end().len().saturating_sub(1)));
        if start > 0 && text[start..].starts_with('\n') && !text[..start].ends_with('\n') {
            start = text.floor_char_boundary(start - 1); // a line's end cannot be underlined, what is before it can
        }
        let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let end = text.ceil_char_boundary(span.end.min(line_end)).min(start + LONGEST_LINE / 2);
        let one = text[start..].chars().next().map_or(0, char::len_utf8);
        start..text.floor_char_boundary(end).max(start + one)
    }

    /// The line of a byte, counted from 0.
    fn line_of(&self, byte: usize) -> usize {
        self.lines.partition_point(|&start| start <= byte) - 1
    }

    /// Line and column (in characters) of a byte, each counted from 0.
    fn position(&self, byte: usize) -> (usize, usize) {
        let line = self.line_of(byte);
        (line, self.text[self.lines[line]..byte].chars().count())
    }

    /// A line's bytes, without its end.
    fn line(&self, line: usize) -> Range<usize> {
        let end = self.lines.get(line + 1).map_or(self.text.len(), |next| next - 1);
        self.lines[line]..end
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (start, end) = (span.offset(), span.offset() + span.len());
        if end > self.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let (first, last) = (self.line_of(start), self.line_of(end.max(start + 1) - 1));
        let short = |line: &usize| self.line(*line).len() <= LONGEST_LINE;
        let shown = if before == 0 && after == 0 {
            start..end
        } else if (first..=last).all(|line| short(&line)) {
            let above = (first.saturating_sub(before)..first).rev().take_while(short).last().unwrap_or(first);
            let below = (last + 1..self.lines.len()).take(after).take_while(short).last().unwrap_or(last);
            self.line(above).start..self.line(below).end
        } else {
            let from = self.text.ceil_char_boundary(start.saturating_sub(LEAD)).max(self.line(first).start);
            let to = self.text.floor_char_boundary(end + LEAD).min(self.line(last).end);
            from..to.max(end)
        };
        let (line, column) = self.position(shown.start);
        let data = &self.text.as_bytes()[shown.clone()];
        let place = SourceSpan::from((shown.start, shown.len()));
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, place, line, column, self.lines.len())))
    }
}

/// Something wrong with a text: what, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    source: Arc<Source>,
    message: String,
    places: Vec<Range<usize>>,
    help: Option<String>,
    severity: Severity,
}

impl Problem {
    /// As something that can be, but is hardly meant.
    pub(super) fn doubt(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With a further place (in bytes) that it is about.
    #[must_use]
    pub fn and_at(mut self, span: Range<usize>) -> Self {
        self.places.push(self.source.fit(span));
        self
    }

    /// The file, then line and column (in characters), counted from 1, where it has a place.
    pub fn place(&self) -> String {
        match self.places.first() {
            Some(place) => {
                let (line, column) = self.source.position(place.start);
                format!("{}:{}:{}", self.source.name, line + 1, column + 1)
            }
            None => self.source.name.clone(),
        }
    }

    /// The words that it points at first.
    pub fn underlined(&self) -> &str {
        self.places.first().map_or("", |place| &self.source.text[place.clone()])
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.places.is_empty()).then_some(&*self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = |(i, place): (usize, &Range<usize>)| {
            let span = SourceSpan::from((place.start, place.len()));
            if i == 0 { LabeledSpan::new_primary_with_span(None, span) } else { LabeledSpan::new_with_span(None, span) }
        };
        Some(Box::new(self.places.iter().enumerate().map(label)))
    }
}

/// Everything that is wrong with a text; at least one thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    problems: Vec<Problem>,
}

impl TextError {
    /// What is wrong, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `value`, unless something is wrong.
    ///
    /// # Errors
    /// If there is a problem.
    pub fn unless<T>(mut problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|problem| problem.places.first().map(|place| place.start));
        Err(Self { problems })
    }
}

impl From<Problem> for TextError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// `space.toml:3:9: …; help`, one line for each problem.
impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line = if i > 0 { "\n" } else { "" };
            write!(f, "{line}{}: {problem}", problem.place())?;
            if let Some(help) = &problem.help {
                write!(f, "; {help}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for TextError {}
