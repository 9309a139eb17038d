//! Writes a file with its sites switched.
//!
//! The text as it was always comes first, so that the compiler infers the types that it infers without us.

use crate::{
    Mutant,
    sites::{Kind, Op, Operand, Site},
};
use std::{fmt::Write, ops::Range};

/// A mutant that is in the build.
pub struct Row {
    pub name: String,
    pub number: u32,
    /// The number that marks the site as reached.
    pub site: u32,
}

pub fn file(text: &str, mut sites: Vec<Site>, next: &mut u32) -> (String, Vec<Row>) {
    let firsts: Vec<u32> = sites
        .iter_mut()
        .map(|s| {
            let first = *next;
            *next += mutants(&mut s.kind).len() as u32;
            first
        })
        .collect();
    let writer = Writer { text, sites: &sites, firsts: &firsts };
    let out = writer.text(0..text.len(), 0);
    let mut rows = Vec::new();
    for (s, first) in sites.iter_mut().zip(firsts) {
        let logic = matches!(s.kind, Kind::Logic { .. });
        for (number, m) in (first..).zip(mutants(&mut s.kind)) {
            rows.push(Row { name: std::mem::take(&mut m.name), number, site: if logic { number } else { first } });
        }
    }
    (out, rows)
}

/// All of a site's mutants, in the order of their numbers.
fn mutants(kind: &mut Kind) -> Vec<&mut Mutant> {
    match kind {
        Kind::Body(m) | Kind::Guard(m) | Kind::Arm(m) | Kind::Field { mutants: m, .. } => m.iter_mut().collect(),
        Kind::Chain { ops, .. } | Kind::Logic { ops, .. } => ops.iter_mut().flat_map(|op| &mut op.mutants).collect(),
        Kind::Assign { op, .. } | Kind::Unary { op, .. } => op.mutants.iter_mut().collect(),
    }
}

struct Writer<'a> {
    text: &'a str,
    sites: &'a [Site],
    firsts: &'a [u32],
}

fn on(number: u32) -> String {
    format!("crate::mutants::on({number})")
}

fn alternative(number: u32, text: &str) -> String {
    format!("/*<{number}*/{text}/*>*/")
}

/// `match` over the text as it was and what may stand in its place.
fn choose(first: u32, was: &str, others: &[String]) -> String {
    let mut out = format!("match crate::mutants::at({first}, {}) {{ 0 => {was}, ", others.len());
    for (i, (number, text)) in (first..).zip(others).enumerate() {
        let arm = if i + 1 == others.len() { "_".to_owned() } else { (i + 1).to_string() };
        let _ = write!(out, "{arm} => {}, ", alternative(number, text));
    }
    out + "}"
}

impl Writer<'_> {
    /// The text of a range with the sites in it, from the given one on, switched.
    fn text(&self, range: Range<usize>, from: usize) -> String {
        let (mut out, mut at, mut i) = (String::new(), range.start, from);
        while let Some(site) = self.sites.get(i).filter(|s| s.range.start <= range.end) {
            if site.range.start >= at && site.range.end <= range.end {
                out += &self.text[at..site.range.start];
                out += &self.site(i);
                at = site.range.end;
            }
            i += 1;
        }
        out + &self.text[at..range.end]
    }

    fn site(&self, i: usize) -> String {
        let (site, first) = (&self.sites[i], self.firsts[i]);
        let within = |r: &Range<usize>| self.text(r.clone(), i + 1);
        let (inside, count) = match &site.kind {
            Kind::Body(m) => {
                let others: Vec<String> = m.iter().map(|m| format!("return {}", m.replacement)).collect();
                (format!(" {}", choose(first, "{}", &others)), m.len())
            }
            Kind::Chain { borrowed, operands, ops } => self.chain(i, *borrowed, operands, ops),
            Kind::Logic { operands, ops } => (self.logic(i, operands, ops), ops.iter().map(|o| o.mutants.len()).sum()),
            Kind::Assign { place, op, value } => {
                let place = within(place);
                let written = if value.plain { within(&value.range) } else { "__r".to_owned() };
                let with = |op: &str| format!("{place} {op} {written}");
                let others: Vec<String> = op.mutants.iter().map(|m| with(&m.replacement)).collect();
                let choice = choose(first, &with(&op.text), &others);
                let whole =
                    if value.plain { choice } else { format!("match {} {{ __r => {choice} }}", within(&value.range)) };
                (format!("({whole})"), others.len())
            }
            Kind::Unary { op, operand } => {
                let text = within(&operand.range);
                let x = if operand.plain { &text } else { "__u" };
                let choice = format!("if !{} {{ {}{x} }} else {{ {} }}", on(first), op.text, alternative(first, x));
                (if operand.plain { format!("({choice})") } else { format!("(match {text} {{ __u => {choice} }})") }, 1)
            }
            Kind::Guard(m) => {
                let others: Vec<String> = m.iter().map(|m| m.replacement.clone()).collect();
                (format!("({})", choose(first, &within(&site.range), &others)), m.len())
            }
            Kind::Arm(m) => (format!(" if !{}", on(first)), m.len()),
            Kind::Field { shorthand, base, .. } => {
                let name = shorthand.as_ref().map_or(String::new(), |n| format!("{n}: "));
                let value = within(&site.range);
                let base = alternative(first, base);
                return format!("{name}/*{{{first}*/if !{} {{ {value} }} else {{ {base} }}/*}}*/", on(first));
            }
        };
        let numbers: Vec<String> = (first..).take(count).map(|n| n.to_string()).collect();
        format!("/*{{{}*/{inside}/*}}*/", numbers.join(" "))
    }

    fn chain(&self, i: usize, borrowed: bool, operands: &[Operand], ops: &[Op]) -> (String, usize) {
        let within = |o: &Operand| self.text(o.range.clone(), i + 1);
        let all_plain = operands.iter().all(|o| o.plain);
        let (mut names, mut values, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for (k, o) in operands.iter().enumerate() {
            if all_plain || o.literal {
                words.push(within(o));
            } else {
                names.push(format!("__a{k}"));
                values.push(if borrowed { format!("&({})", within(o)) } else { within(o) });
                words.push(format!("{}__a{k}", if borrowed { "*" } else { "" }));
            }
        }
        // All operators as they were, but the one of this index.
        let with = |other: Option<(usize, &str)>| {
            let mut out = words[0].clone();
            for (k, op) in ops.iter().enumerate() {
                let text = other.filter(|o| o.0 == k).map_or(op.text.as_str(), |o| o.1);
                let _ = write!(out, " {text} {}", words[k + 1]);
            }
            out
        };
        let others: Vec<String> = ops
            .iter()
            .enumerate()
            .flat_map(|(k, op)| op.mutants.iter().map(move |m| (k, m.replacement.as_str())))
            .map(|o| with(Some(o)))
            .collect();
        let choice = choose(self.firsts[i], &with(None), &others);
        let whole = if names.is_empty() {
            format!("({choice})")
        } else {
            format!("(match ({},) {{ ({},) => {choice} }})", values.join(", "), names.join(", "))
        };
        (whole, others.len())
    }

    /// `__m` is the value so far. What follows is looked at if that is true before `&&` or false before `||`; true before `||` is the result.
    fn logic(&self, i: usize, operands: &[Operand], ops: &[Op]) -> String {
        let within = |o: &Operand| self.text(o.range.clone(), i + 1);
        let (mut out, mut number) = (format!("({{ let __m = {}; ", within(&operands[0])), self.firsts[i]);
        for (op, operand) in ops.iter().zip(&operands[1..]) {
            let mut or = (op.text == "||").to_string();
            if !op.mutants.is_empty() {
                or = format!("({or} != {})", on(number));
                number += 1;
            }
            let next = within(operand);
            let _ = write!(
                out,
                "if __m && {or} {{ true }} else {{ let __m = if __m != {or} {{ {next} }} else {{ false }}; "
            );
        }
        out + "__m" + &" }".repeat(ops.len() + 1) + ")"
    }
}
