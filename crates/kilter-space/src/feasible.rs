//! Random configurations, uniform over the feasible ones.
//!
//! Uniform means: as likely as a walk that draws each answer uniformly from its domain (by the logarithm where that is
//! logarithmic), given that the result is feasible. Only the questions on which constraints depend (the core) need
//! care; the others are drawn as they come. In this order of means:
//!
//! 1. Few combinations of core answers (up to 100,000, conditions included): all are listed once and drawn by weight.
//! 2. Rejection: core answers are drawn, from domains narrowed beforehand where that changes nothing, until no
//!    constraint is broken. Exact.
//! 3. Hit and run where rejection would take more than about a hundred draws (see [`chain`]).

mod chain;

use kilter_numerics::Stream;

use crate::config::Config;
use crate::domain::Domain;
use crate::enumerate::{Leaves, finished_rules};
use crate::evaluate::{Comparison, Extreme, Node};
use crate::expression::Truth;
use crate::narrow::Narrowing;
use crate::outline::{Outline, SpaceError};
use crate::value::Value;
use crate::walk::{Chooser, Halt, Question, Walk};
use chain::Chain;

/// How feasible configurations are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// There are no constraints: every draw is feasible.
    Plain,
    /// All combinations that matter were listed.
    Enumerated,
    /// Draws are repeated until one is feasible.
    Rejection,
    /// A random walk within the feasible set. Uniform if the constraints are linear in numbers, up to what is left of
    /// its start after mixing; otherwise parts of the set that hang together loosely may get too much or too little.
    HitAndRun,
}

/// Draws feasible configurations of an outline.
#[derive(Clone, Copy, Debug)]
pub struct Feasible<'a> {
    outline: &'a Outline,
    /// Nothing without constraints.
    source: Option<&'a Source>,
}

impl<'a> Feasible<'a> {
    /// Finds out how to draw from `outline`; the outline remembers it, so that a second time costs nothing.
    ///
    /// # Errors
    /// If no feasible configuration can be found; the error names constraints that are in conflict.
    pub fn new(outline: &'a Outline) -> Result<Self, SpaceError> {
        let source = match outline.constraints() {
            [] => None,
            _ => Some(outline.plan().source.get_or_init(|| Source::new(outline)).as_ref().map_err(Clone::clone)?),
        };
        Ok(Self { outline, source })
    }

    /// A random feasible configuration: a function of the stream alone.
    ///
    /// # Errors
    /// If the space refuses, or chance does (the acceptance rate was estimated far too high).
    pub fn config(&self, stream: &mut Stream) -> Result<Config, SpaceError> {
        let mut slots = self.outline.plan().blank();
        if let Some(source) = self.source {
            source.draw(self.outline, stream, &mut slots)?;
        }
        let core = self.source.map_or(&[][..], |source| &source.core);
        Ok(complete(self.outline, core, &mut slots, stream))
    }

    /// Which share of all configurations is feasible: exact if they were listed, else estimated from some thousand
    /// draws (0 if none of them was feasible).
    pub fn rate(&self) -> f64 {
        self.source.map_or(1.0, |source| source.rate)
    }

    /// How configurations are found.
    pub fn means(&self) -> Means {
        match self.source.map(|source| &source.means) {
            None => Means::Plain,
            Some(Drawing::Listed { .. }) => Means::Enumerated,
            Some(Drawing::Rejecting) => Means::Rejection,
            Some(Drawing::Running(_)) => Means::HitAndRun,
        }
    }
}

/// Draws the answers that the core leaves open.
fn complete(outline: &Outline, core: &[usize], slots: &mut [Option<Value>], stream: &mut Stream) -> Config {
    let plan = outline.plan();
    let mut core = core.iter().copied().peekable();
    let mut config = Config::new(Vec::with_capacity(slots.len()));
    for (at, entry) in outline.entries().iter().enumerate() {
        let in_core = core.next_if_eq(&at).is_some();
        if !plan.asks(at, slots) {
            continue;
        }
        let slot = &mut slots[plan.slot[at]];
        if !in_core {
            *slot = Some(entry.domain.sample(stream));
        }
        if let Some(value) = slot {
            config.push(entry.name.clone(), value.clone());
        }
    }
    config
}

/// So many combinations of core answers are listed at most.
const LISTED: usize = 100_000;
/// … and so many answers are tried to find them.
const TRIED: u64 = 400_000;
/// Draws that estimate the acceptance rate.
const DRAWS: u32 = 4096;
/// Below this acceptance rate hit and run is cheaper.
const RARE: f64 = 0.01;
/// Draws where hit and run would not be exact.
const MORE_DRAWS: u32 = 1 << 17;
/// Rejection is kept if this many of those are feasible.
const ENOUGH: u32 = 4;
/// No draw takes more attempts than this.
const PATIENCE: u64 = 1 << 24;

/// Where feasible core answers come from.
#[derive(Debug)]
pub(crate) struct Source {
    /// The entries on which constraints depend, in walk order.
    core: Vec<usize>,
    /// Of each its domain; narrowed if it is always asked.
    domains: Vec<Domain>,
    finished: Vec<Vec<usize>>,
    means: Drawing,
    rate: f64,
}

#[derive(Debug)]
enum Drawing {
    Listed {
        /// Row by row, the place of each core answer in its domain; [`NOT_ASKED`] where it is not asked.
        places: Vec<u32>,
        /// Running sum of the rows' weights.
        reached: Vec<f64>,
    },
    Rejecting,
    Running(Chain),
}

const NOT_ASKED: u32 = u32::MAX;

impl Source {
    fn new(outline: &Outline) -> Result<Self, SpaceError> {
        if !outline.is_complete() {
            return Err(SpaceError::Unfinished("drawing under constraints"));
        }
        Self::search(outline)?.ok_or_else(|| {
            let rules: Vec<&crate::Expr> = outline.constraints().iter().collect();
            let in_conflict = |some: &[usize]| {
                let some = some.iter().map(|&rule| rules[rule].clone()).collect();
                match Outline::constrained(outline.entries().to_vec(), some) {
                    Ok(looser) => !looser.constraints().is_empty() && matches!(Self::search(&looser), Ok(None)),
                    Err(_) => false,
                }
            };
            outline.named(&outline.minimal(&in_conflict))
        })
    }

    /// Nothing if no feasible configuration can be found.
    fn search(outline: &Outline) -> Result<Option<Self>, SpaceError> {
        let (plan, entries) = (outline.plan(), outline.entries());
        let Ok(mut narrowing) = Narrowing::new(plan, entries) else { return Ok(None) };
        let core = outline.core(false);
        let mut domains = Vec::with_capacity(core.len());
        let mut share = 1.0;
        for &at in &core {
            let whole = &entries[at].domain;
            // Narrowing a question that is not always asked would make the asking more likely than it is.
            let part = match entries[at].when {
                None => narrowing.allowed(at, &plan.blank()),
                Some(_) => Ok(None),
            };
            let Ok(part) = part else { return Ok(None) };
            share *= part.as_ref().map_or(1.0, |part| part.share_of(whole));
            domains.push(part.unwrap_or_else(|| whole.clone()));
        }
        let finished = finished_rules(plan, &core);
        let mut source = Self { core, domains, finished, means: Drawing::Rejecting, rate: 0.0 };
        if let Some((listed, rate)) = source.list(outline) {
            source.means = listed;
            source.rate = rate * share;
            return Ok((rate > 0.0).then_some(source));
        }
        let mut stream = Stream::new(&[outline.fingerprint()], "feasible");
        let mut slots = plan.blank();
        let mut hits = 0;
        let mut draws = 0;
        let mut draw_until = |source: &Self, limit: u32| {
            while draws < limit {
                draws += 1;
                hits += u32::from(source.attempt(outline, &mut stream, &mut slots));
            }
            (hits, f64::from(hits) / f64::from(draws))
        };
        let (mut found, mut rate) = draw_until(&source, DRAWS);
        if rate < RARE && !source.is_linear(outline) {
            (found, rate) = draw_until(&source, MORE_DRAWS);
        }
        source.rate = rate * share;
        if rate >= RARE || (!source.is_linear(outline) && found >= ENOUGH) {
            return Ok(Some(source));
        }
        let starts = source.starts(outline);
        if starts.is_empty() {
            // What rejection finds now and then, it finds.
            return Ok((found > 0).then_some(source));
        }
        if found == 0
            && let Some(exact) = source.exact_demand(outline)
        {
            return Err(SpaceError::Vanishing(outline.constraints()[exact].to_string()));
        }
        source.means = Drawing::Running(Chain::default());
        let chain = Chain::new(starts, &Stream::new(&[outline.fingerprint()], "mix"), |shares| {
            source.place(outline, shares, &mut plan.blank())
        });
        source.means = Drawing::Running(chain);
        Ok(Some(source))
    }

    /// All combinations and the share of them that is feasible; nothing if they are too many.
    fn list(&self, outline: &Outline) -> Option<(Drawing, f64)> {
        let plan = outline.plan();
        let mut leaves = Leaves::new(plan, self.core.clone(), self.domains.clone()).ok()?;
        let whole = self.core.iter().all(|&at| plan.conditions[at].is_none());
        if whole && leaves.product().is_none_or(|product| product > LISTED as u128) {
            return None;
        }
        let (mut places, mut reached, mut sum) = (Vec::new(), Vec::new(), 0.0);
        while leaves.advance(TRIED) {
            let mut weight = 1.0;
            for (digit, domain) in leaves.digits.iter().zip(&self.domains) {
                weight *= digit.map_or(1.0, |digit| domain.mass(digit));
                places.push(digit.map_or(NOT_ASKED, |digit| digit as u32));
            }
            sum += weight;
            reached.push(sum);
            if reached.len() > LISTED {
                return None;
            }
        }
        (leaves.tried <= TRIED).then_some((Drawing::Listed { places, reached }, sum))
    }

    /// One attempt at core answers: are they feasible?
    fn attempt(&self, outline: &Outline, stream: &mut Stream, slots: &mut [Option<Value>]) -> bool {
        self.fill(outline, slots, |_, domain| domain.sample(stream))
    }

    /// The core answers at these shares of their domains: are they feasible?
    fn place(&self, outline: &Outline, shares: &[f64], slots: &mut [Option<Value>]) -> bool {
        self.fill(outline, slots, |at, domain| domain.at_share(shares[at]))
    }

    fn fill(
        &self,
        outline: &Outline,
        slots: &mut [Option<Value>],
        mut answer: impl FnMut(usize, &Domain) -> Value,
    ) -> bool {
        let plan = outline.plan();
        slots.fill(None);
        for (at, &entry) in self.core.iter().enumerate() {
            if plan.asks(entry, slots) {
                slots[plan.slot[entry]] = Some(answer(at, &self.domains[at]));
            }
            if self.finished[at].iter().any(|&rule| plan.rules[rule].node.truth(slots) == Truth::No) {
                return false;
            }
        }
        true
    }

    fn draw(&self, outline: &Outline, stream: &mut Stream, slots: &mut [Option<Value>]) -> Result<(), SpaceError> {
        match &self.means {
            Drawing::Listed { places, reached } => {
                let drawn = stream.uniform() * reached.last().copied().unwrap_or(0.0);
                let row = reached.partition_point(|&end| end <= drawn).min(reached.len() - 1);
                let row = &places[row * self.core.len()..(row + 1) * self.core.len()];
                for ((&entry, domain), &place) in self.core.iter().zip(&self.domains).zip(row) {
                    if place != NOT_ASKED {
                        slots[outline.plan().slot[entry]] = domain.nth(u128::from(place));
                    }
                }
                return Ok(());
            }
            Drawing::Rejecting => {
                for _ in 0..PATIENCE {
                    if self.attempt(outline, stream, slots) {
                        return Ok(());
                    }
                }
            }
            Drawing::Running(chain) => {
                let scratch = &mut outline.plan().blank();
                let shares = chain.draw(stream, |shares| self.place(outline, shares, scratch));
                if self.place(outline, &shares, slots) {
                    return Ok(());
                }
            }
        }
        Err(outline.named(&(0..outline.constraints().len()).collect::<Vec<_>>()))
    }

    /// Feasible shares, found by walks in narrowed domains.
    fn starts(&self, outline: &Outline) -> Vec<Vec<f64>> {
        let wanted = Chain::members(self.core.len());
        let mut found = Vec::new();
        let mut slots = outline.plan().blank();
        for attempt in 0..(4 * wanted as u64).max(256) {
            let mut walk =
                Sharing { source: self, outline, stream: Stream::new(&[attempt], "start"), shares: Vec::new() };
            walk.shares.resize(self.core.len(), 0.5);
            if outline.walk(&mut walk).is_ok() && self.place(outline, &walk.shares, &mut slots) {
                found.push(walk.shares);
                if found.len() == wanted {
                    break;
                }
            }
        }
        found
    }

    /// Do the constraints ask for a convex set of numbers?
    fn is_linear(&self, outline: &Outline) -> bool {
        let numeric = |&at: &usize| {
            let entry = &outline.entries()[at];
            entry.when.is_none() && matches!(entry.domain, Domain::Float(_) | Domain::Int(_) | Domain::Fixed(_))
        };
        self.core.iter().all(numeric) && outline.plan().rules.iter().all(|rule| is_convex(&rule.node))
    }

    /// A rule that wants continuous numbers to meet exactly.
    fn exact_demand(&self, outline: &Outline) -> Option<usize> {
        let plan = outline.plan();
        let continuous = |slot: &usize| {
            let domain = plan.only[*slot].map(|at| &outline.entries()[at].domain);
            matches!(domain, Some(Domain::Float(range)) if range.step_width().is_none())
        };
        plan.rules.iter().position(|rule| demands_equality(&rule.node) && rule.slots.iter().any(continuous))
    }
}

fn demands_equality(node: &Node) -> bool {
    match node {
        Node::Compare(Comparison::Equal, ..) => true,
        Node::And(terms) => terms.iter().any(demands_equality),
        _ => false,
    }
}

/// Is this, of numbers, surely a convex demand?
fn is_convex(node: &Node) -> bool {
    let linear = |node: &Node| degree(node).is_some_and(|degree| degree <= 1);
    let extreme = |which: Extreme, node: &Node| match node {
        Node::Extreme(found, list) => *found == which && list.iter().all(linear),
        node => linear(node),
    };
    match node {
        Node::And(terms) => terms.iter().all(is_convex),
        Node::Compare(Comparison::Less | Comparison::AtMost, a, b) => {
            extreme(Extreme::Max, a) && extreme(Extreme::Min, b)
        }
        Node::Compare(Comparison::Greater | Comparison::AtLeast, a, b) => {
            extreme(Extreme::Min, a) && extreme(Extreme::Max, b)
        }
        Node::Compare(Comparison::Equal, a, b) => linear(a) && linear(b),
        _ => false,
    }
}

/// 0 for a constant, 1 for a linear expression, nothing for another.
fn degree(node: &Node) -> Option<u32> {
    match node {
        Node::Literal(value) => value.as_f64().map(|_| 0),
        Node::Name(_) => Some(1),
        Node::Negate(inner) => degree(inner),
        Node::Arithmetic(first, terms) => terms.iter().try_fold(degree(first)?, |sum, (sign, term)| {
            let term = degree(term)?;
            match sign {
                '+' | '-' => Some(sum.max(term)),
                '*' => (sum + term <= 1).then_some(sum + term),
                _ => (term == 0).then_some(sum),
            }
        }),
        _ => None,
    }
}

/// A random chooser that remembers at which shares of the core's domains its answers lie.
struct Sharing<'a> {
    source: &'a Source,
    outline: &'a Outline,
    stream: Stream,
    shares: Vec<f64>,
}

impl Chooser for Sharing<'_> {
    fn choose(&mut self, question: &Question<'_>) -> Result<Value, Halt> {
        let value = question.allowed.sample(&mut self.stream);
        for (share, (&entry, domain)) in self.shares.iter_mut().zip(self.source.core.iter().zip(&self.source.domains)) {
            let asked = &self.outline.entries()[entry];
            if asked.name == *question.name && asked.domain == *question.domain {
                *share = domain.share(&value);
            }
        }
        Ok(value)
    }
}
