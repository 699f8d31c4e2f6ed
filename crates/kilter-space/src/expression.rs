//! Conditions: a small grammar of our own, read once into a tree.
//!
//! ```text
//! expression = conjunction ("or" conjunction)*
//! conjunction = negation ("and" negation)*
//! negation   = "not" negation | comparison
//! comparison = sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum | ["not"] "in" list)?
//! sum        = product (("+" | "-") product)*        product = unary (("*" | "/") unary)*
//! unary      = "-" unary | number | 'text' | true | false | null | name | ("min" | "max") "(" list ")" | "(" expression ")"
//! list       = "[" expression ("," expression)* "]"
//! ```
//!
//! A tree rather than a closure, so that others can see which names are used and where in the text they stand. Truth is
//! Kleene's three-valued one: whatever touches a question that was not asked is unknown, `unknown or true` is true.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Comparison, Extreme, Node};
use crate::name::{KEYWORDS, Name};
use crate::value::Value;

/// A parsed expression and the text it came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expr {
    source: String,
    /// The names in it with their places (in characters), as written; nodes speak of them by position.
    names: Vec<(Name, Range<usize>)>,
    root: Node,
}

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    Yes,
    /// It does not hold.
    No,
    /// It rests on a question that was not asked.
    Unknown,
}

/// Why a text is no expression, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n  {}\n  {:indent$}{}", in_one_line(.source_text), "", "^".repeat(.span.len().max(1)), indent = .span.start)]
pub struct ExprError {
    /// What is wrong and what would be right.
    pub message: String,
    /// The whole text.
    pub source_text: String,
    /// The characters at fault (counted in characters, not bytes).
    pub span: Range<usize>,
}

/// A condition may be written in several lines; the carets stand under one.
fn in_one_line(source: &str) -> String {
    source.replace(char::is_control, " ")
}

impl Expr {
    /// Reads an expression such as `optimizer == 'sgd' and batch_size >= 64`.
    ///
    /// # Errors
    /// [`ExprError`] points at the place and says what would be right.
    pub fn parse(source: &str) -> Result<Self, ExprError> {
        let mut parser = Parser { source, tokens: lex(source)?, names: Vec::new(), at: 0, depth: 0 };
        let root = parser.disjunction()?;
        match parser.tokens.get(parser.at) {
            None => Ok(Self { source: source.to_owned(), names: parser.names, root }),
            Some(token) if token.text == "=" => Err(parser.error(token.span.clone(), "equality is written ==")),
            Some(token) => {
                let message = format!("`{}` is out of place; expected and, or, a comparison, or the end", token.text);
                Err(parser.error(token.span.clone(), &message))
            }
        }
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names in it, each with its place (in characters), as written.
    pub fn names(&self) -> Vec<(&Name, Range<usize>)> {
        self.names.iter().map(|(name, span)| (name, span.clone())).collect()
    }

    /// Where a name is said to be, or not to be, a text: the name, the text, and its place (in characters, with its
    /// quotes).
    pub(crate) fn texts(&self) -> Vec<(&Name, String, Range<usize>)> {
        let tokens = lex(&self.source).unwrap_or_default();
        let is = |at: usize, sign: &str| tokens.get(at).is_some_and(|t| t.kind != Kind::Text && t.text == sign);
        let is_compared = |at: usize| is(at, "==") || is(at, "!=");
        let mut texts = Vec::new();
        let mut at = 0;
        for (name, span) in &self.names {
            at += tokens[at..].iter().take_while(|token| token.span.start < span.start).count();
            let list = at + 1 + usize::from(is(at + 1, "not"));
            let said = match at {
                at if is_compared(at + 1) => at + 2..at + 3,
                2.. if is_compared(at - 1) => at - 2..at - 1,
                _ if is(list, "in") => {
                    let end = (list..tokens.len()).find(|&end| is(end, "]")).unwrap_or(list);
                    list + 1..end
                }
                _ => continue,
            };
            let said = tokens.get(said).into_iter().flatten().filter(|token| token.kind == Kind::Text);
            texts.extend(said.map(|token| (name, token.text.clone(), token.span.clone())));
        }
        texts
    }

    /// Does it hold, given the answers so far? `answer` gives nothing for a question that was not asked.
    pub fn truth(&self, answer: &dyn Fn(&Name) -> Option<Value>) -> Truth {
        let answers: Vec<Option<Value>> = self.names.iter().map(|(name, _)| answer(name)).collect();
        self.root.truth(&answers)
    }

    /// Its tree; slot `i` holds the answer to the `i`-th of [`Expr::names`].
    pub(crate) fn compiled_as_written(&self) -> &Node {
        &self.root
    }

    /// Its tree, with every name as the slot that holds the name's answer.
    pub(crate) fn compiled(&self, slot: impl Fn(&Name) -> usize) -> Node {
        self.root.renamed(&|name| slot(&self.names[name].0))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl TryFrom<String> for Expr {
    type Error = ExprError;
    fn try_from(source: String) -> Result<Self, ExprError> {
        Self::parse(&source)
    }
}

impl From<Expr> for String {
    fn from(expr: Expr) -> Self {
        expr.source
    }
}

struct Token {
    text: String,
    kind: Kind,
    span: Range<usize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Word,
    Number,
    Text,
    Sign,
}

/// Expressions nest at most this deep: deeper ones are a mistake, and recursion must end before the stack does. One
/// level takes seven calls, about 16 KiB of stack in a debug build; threads have 2 MiB.
const DEEPEST: usize = 64;

fn lex(source: &str) -> Result<Vec<Token>, ExprError> {
    let chars: Vec<char> = source.chars().collect();
    let error = |span: Range<usize>, message: String| ExprError { message, source_text: source.to_owned(), span };
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        let (start, c) = (i, chars[i]);
        let kind = if c.is_whitespace() {
            i += 1;
            continue;
        } else if c == '_' || c.is_alphabetic() {
            while i < chars.len() && (chars[i] == '_' || chars[i] == '.' || chars[i].is_alphanumeric()) {
                i += 1;
            }
            Kind::Word
        } else if c.is_ascii_digit() || (c == '.' && chars.get(i + 1).is_some_and(char::is_ascii_digit)) {
            while i < chars.len()
                && (chars[i].is_ascii_alphanumeric()
                    || chars[i] == '.'
                    || ("+-".contains(chars[i]) && matches!(chars[i - 1], 'e' | 'E')))
            {
                i += 1;
            }
            Kind::Number
        } else if c == '\'' || c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != c {
                i += 1;
            }
            if i == chars.len() {
                return Err(error(start..i, format!("this text has no end; close it with {c}")));
            }
            i += 1;
            Kind::Text
        } else {
            let two = chars.get(i + 1) == Some(&'=') && "=!<>".contains(c);
            if !two && !"+-*/()[],<>=".contains(c) {
                let advice = match c {
                    '&' => "write and",
                    '|' => "write or",
                    '!' => "write not, or != for different",
                    _ => "there are names, numbers, 'text', and or not in, == != < <= > >=, + - * /, min(), max()",
                };
                return Err(error(start..start + 1, format!("{c:?} does not belong to conditions; {advice}")));
            }
            i += if two { 2 } else { 1 };
            Kind::Sign
        };
        let text: String = match kind {
            Kind::Text => chars[start + 1..i - 1].iter().collect(),
            _ => chars[start..i].iter().collect(),
        };
        tokens.push(Token { text, kind, span: start..i });
    }
    Ok(tokens)
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    names: Vec<(Name, Range<usize>)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn error(&self, span: Range<usize>, message: &str) -> ExprError {
        ExprError { message: message.to_owned(), source_text: self.source.to_owned(), span }
    }

    fn here(&self) -> Range<usize> {
        let behind = || {
            let end = self.source.chars().count();
            end..end + 1
        };
        self.tokens.get(self.at).map_or_else(behind, |token| token.span.clone())
    }

    /// Steps over `text` if it is the next token (a quoted text never is).
    fn eat(&mut self, text: &str) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|t| t.kind != Kind::Text && t.text == text);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, text: &str) -> Result<(), ExprError> {
        if self.eat(text) {
            return Ok(());
        }
        let assigns = self.tokens.get(self.at).is_some_and(|t| t.kind == Kind::Sign && t.text == "=");
        let message = if assigns { "equality is written ==".to_owned() } else { format!("expected `{text}` here") };
        Err(self.error(self.here(), &message))
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        if self.depth == DEEPEST {
            return Err(self.error(self.here(), &format!("this nests more than {DEEPEST} deep; say it more simply")));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn disjunction(&mut self) -> Result<Node, ExprError> {
        let first = self.conjunction()?;
        if !self.eat("or") {
            return Ok(first);
        }
        let mut terms = vec![first, self.conjunction()?];
        while self.eat("or") {
            terms.push(self.conjunction()?);
        }
        Ok(Node::Or(terms))
    }

    fn conjunction(&mut self) -> Result<Node, ExprError> {
        let first = self.negation()?;
        if !self.eat("and") {
            return Ok(first);
        }
        let mut terms = vec![first, self.negation()?];
        while self.eat("and") {
            terms.push(self.negation()?);
        }
        Ok(Node::And(terms))
    }

    fn negation(&mut self) -> Result<Node, ExprError> {
        if self.eat("not") {
            return Ok(Node::Not(Box::new(self.deeper(Self::negation)?)));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let left = self.sum()?;
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Different),
            ("<=", Comparison::AtMost),
            (">=", Comparison::AtLeast),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if let Some((_, how)) = signs.into_iter().find(|(sign, _)| self.eat(sign)) {
            let right = self.sum()?;
            let chained = signs.iter().any(|(sign, _)| self.eat(sign));
            if chained {
                self.at -= 1;
                return Err(self.error(self.here(), "comparisons do not chain; write a < b and b < c"));
            }
            return Ok(Node::Compare(how, Box::new(left), Box::new(right)));
        }
        if self.eat("in") {
            return Ok(Node::In(Box::new(left), self.list("[", "]")?));
        }
        if self.eat("not") {
            self.expect("in")?;
            return Ok(Node::Not(Box::new(Node::In(Box::new(left), self.list("[", "]")?))));
        }
        Ok(left)
    }

    fn list(&mut self, open: &str, close: &str) -> Result<Vec<Node>, ExprError> {
        self.expect(open)?;
        let mut items = vec![self.deeper(Self::disjunction)?];
        while self.eat(",") {
            items.push(self.deeper(Self::disjunction)?);
        }
        self.expect(close)?;
        Ok(items)
    }

    fn sum(&mut self) -> Result<Node, ExprError> {
        self.arithmetic(['+', '-'], Self::product)
    }

    fn product(&mut self) -> Result<Node, ExprError> {
        self.arithmetic(['*', '/'], Self::unary)
    }

    fn arithmetic(
        &mut self,
        signs: [char; 2],
        term: fn(&mut Self) -> Result<Node, ExprError>,
    ) -> Result<Node, ExprError> {
        let first = term(self)?;
        let mut terms = Vec::new();
        while let Some(sign) = signs.into_iter().find(|c| self.eat(c.encode_utf8(&mut [0; 4]))) {
            terms.push((sign, term(self)?));
        }
        Ok(if terms.is_empty() { first } else { Node::Arithmetic(Box::new(first), terms) })
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        if self.eat("-") {
            return Ok(match self.deeper(Self::unary)? {
                // A negative literal keeps its kind.
                Node::Literal(Value::Int(i)) => Node::Literal(Value::Int(i.wrapping_neg())),
                Node::Literal(Value::Float(x)) => Node::Literal(Value::Float(-x)),
                inner => Node::Negate(Box::new(inner)),
            });
        }
        if self.eat("(") {
            let inner = self.deeper(Self::disjunction)?;
            self.expect(")")?;
            return Ok(inner);
        }
        for (word, which) in [("min", Extreme::Min), ("max", Extreme::Max)] {
            if self.eat(word) {
                return Ok(Node::Extreme(which, self.list("(", ")")?));
            }
        }
        let span = self.here();
        let Some(token) = self.tokens.get(self.at) else {
            return Err(self.error(span, "the condition ends too early; a value or a name is missing here"));
        };
        let node = match (token.kind, token.text.as_str()) {
            (Kind::Text, text) => Node::Literal(Value::from(text)),
            (Kind::Number, text) => {
                let value = crate::inline::parse_value(text);
                if value.as_f64().is_none() {
                    return Err(self.error(span, &format!("`{text}` is not a number")));
                }
                Node::Literal(value)
            }
            (Kind::Word, "true") => Node::Literal(Value::Bool(true)),
            (Kind::Word, "false") => Node::Literal(Value::Bool(false)),
            (Kind::Word, "null") => Node::Literal(Value::Null),
            (Kind::Word, word) if !KEYWORDS.contains(&word) => match Name::new(word) {
                Ok(name) => {
                    self.names.push((name, span));
                    Node::Name(self.names.len() - 1)
                }
                Err(why) => return Err(self.error(span, &why.to_string())),
            },
            (_, other) => {
                let message = format!("`{other}` is out of place; a value or a name is missing here");
                return Err(self.error(span, &message));
            }
        };
        self.at += 1;
        Ok(node)
    }
}
