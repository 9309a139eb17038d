//! Finds the places of a file that hold mutants.

use crate::{Key, Listed, Mutant};
use proc_macro2::Span;
use std::{collections::HashMap, ops::Range};
use syn::{
    BinOp, Expr, UnOp,
    spanned::Spanned,
    visit::{self, Visit},
};

/// An expression that a site is made of.
pub struct Operand {
    pub range: Range<usize>,
    /// A name, a field or a literal: may be written twice, and reading it later than its neighbours changes nothing.
    pub plain: bool,
    pub literal: bool,
}

/// An operator and what may stand in its place.
pub struct Op {
    pub text: String,
    pub mutants: Vec<Mutant>,
}

pub enum Kind {
    /// The head of a body: results to return at once.
    Body(Vec<Mutant>),
    /// Operators of one kind without brackets between them, so that another operator may bind otherwise; compared operands are only borrowed.
    Chain {
        borrowed: bool,
        operands: Vec<Operand>,
        ops: Vec<Op>,
    },
    /// `&&` and `||` without brackets between them.
    Logic {
        operands: Vec<Operand>,
        ops: Vec<Op>,
    },
    Assign {
        place: Range<usize>,
        op: Op,
        value: Operand,
    },
    Unary {
        op: Op,
        operand: Operand,
    },
    Guard(Vec<Mutant>),
    /// After a pattern: the arm is not there.
    Arm(Vec<Mutant>),
    /// A field's value; `base` is an expression for the value it would have without.
    Field {
        mutants: Vec<Mutant>,
        shorthand: Option<String>,
        base: String,
    },
}

pub struct Site {
    pub range: Range<usize>,
    pub kind: Kind,
}

pub struct Found {
    /// Outer ones before those within.
    pub sites: Vec<Site>,
    pub left: HashMap<String, &'static str>,
}

pub fn find(text: &str, listed: Listed) -> syn::Result<Found> {
    let mut finder = Finder { text, listed, found: Found { sites: Vec::new(), left: HashMap::new() }, constant: 0 };
    finder.visit_file(&syn::parse_file(text)?);
    // Stable: of two sites with one range the first found is the outer.
    finder.found.sites.sort_by_key(|s| (s.range.start, std::cmp::Reverse(s.range.end)));
    Ok(finder.found)
}

struct Finder<'t> {
    text: &'t str,
    listed: Listed,
    found: Found,
    /// How many constants we are in: nothing can be switched there.
    constant: usize,
}

#[derive(PartialEq, Clone, Copy)]
enum Class {
    Arithmetic,
    Shift,
    Bits,
    Compare,
    Logic,
    Assign,
}

fn class(op: &BinOp) -> Class {
    match op {
        BinOp::Add(_) | BinOp::Sub(_) | BinOp::Mul(_) | BinOp::Div(_) | BinOp::Rem(_) => Class::Arithmetic,
        BinOp::Shl(_) | BinOp::Shr(_) => Class::Shift,
        BinOp::BitAnd(_) | BinOp::BitOr(_) | BinOp::BitXor(_) => Class::Bits,
        BinOp::And(_) | BinOp::Or(_) => Class::Logic,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => Class::Compare,
        _ => Class::Assign,
    }
}

fn plain(e: &Expr) -> bool {
    match e {
        Expr::Path(_) | Expr::Lit(_) => true,
        Expr::Field(f) => plain(&f.base),
        Expr::Paren(p) => plain(&p.expr),
        Expr::Reference(r) => r.mutability.is_none() && plain(&r.expr),
        Expr::Unary(u) => matches!(u.op, UnOp::Deref(_)) && plain(&u.expr),
        _ => false,
    }
}

fn operand(e: &Expr) -> Operand {
    Operand { range: range(e), plain: plain(e), literal: matches!(e, Expr::Lit(_)) }
}

fn range(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

/// Whether a condition binds names.
fn binds(e: &Expr) -> bool {
    match e {
        Expr::Let(_) => true,
        Expr::Binary(b) => binds(&b.left) || binds(&b.right),
        _ => false,
    }
}

/// The operands and operators of a chain, from left to right.
fn flatten<'e>(e: &'e Expr, of: Class, operands: &mut Vec<&'e Expr>, ops: &mut Vec<&'e BinOp>) {
    match e {
        Expr::Binary(b) if class(&b.op) == of => {
            flatten(&b.left, of, operands, ops);
            ops.push(&b.op);
            flatten(&b.right, of, operands, ops);
        }
        other => operands.push(other),
    }
}

impl Finder<'_> {
    /// The mutants of one span, each taken once.
    fn take(&mut self, genre: &str, (from, to): (Span, Span)) -> Vec<Mutant> {
        let (start, end) = (from.start(), to.end());
        let ends = [start.line, start.column + 1, end.line, end.column + 1].map(|n| n as u64);
        let key: Key = (genre.to_owned(), ends);
        if self.constant > 0 { Vec::new() } else { self.listed.remove(&key).unwrap_or_default() }
    }

    fn op(&mut self, genre: &str, node: &impl Spanned) -> Op {
        let span = node.span();
        Op { text: self.text[span.byte_range()].to_owned(), mutants: self.take(genre, (span, span)) }
    }

    fn add(&mut self, range: Range<usize>, kind: Kind) {
        self.found.sites.push(Site { range, kind });
    }

    fn leave(&mut self, mutants: Vec<Mutant>, why: &'static str) {
        self.found.left.extend(mutants.into_iter().map(|m| (m.name, why)));
    }

    fn body(&mut self, sig: &syn::Signature, block: &syn::Block) {
        let (Some(first), Some(last)) = (block.stmts.first(), block.stmts.last()) else { return };
        let mutants = self.take("FnValue", (first.span(), last.span()));
        let opaque = matches!(&sig.output, syn::ReturnType::Type(_, t) if matches!(**t, syn::Type::ImplTrait(_)));
        if opaque {
            self.leave(mutants, "a function has one opaque type");
        } else if !mutants.is_empty() {
            let at = block.brace_token.span.open().byte_range().end;
            self.add(at..at, Kind::Body(mutants));
        }
    }

    fn constant(&mut self, yes: bool, visit: impl FnOnce(&mut Self)) {
        self.constant += usize::from(yes);
        visit(self);
        self.constant -= usize::from(yes);
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, i: &'ast syn::ItemFn) {
        self.constant(i.sig.constness.is_some(), |f| {
            f.body(&i.sig, &i.block);
            visit::visit_item_fn(f, i);
        });
    }
    fn visit_impl_item_fn(&mut self, i: &'ast syn::ImplItemFn) {
        self.constant(i.sig.constness.is_some(), |f| {
            f.body(&i.sig, &i.block);
            visit::visit_impl_item_fn(f, i);
        });
    }
    fn visit_trait_item_fn(&mut self, i: &'ast syn::TraitItemFn) {
        if let Some(block) = &i.default {
            self.body(&i.sig, block);
        }
        visit::visit_trait_item_fn(self, i);
    }
    fn visit_item_const(&mut self, i: &'ast syn::ItemConst) {
        self.constant(true, |f| visit::visit_item_const(f, i));
    }
    fn visit_impl_item_const(&mut self, i: &'ast syn::ImplItemConst) {
        self.constant(true, |f| visit::visit_impl_item_const(f, i));
    }
    fn visit_trait_item_const(&mut self, i: &'ast syn::TraitItemConst) {
        self.constant(true, |f| visit::visit_trait_item_const(f, i));
    }
    fn visit_item_static(&mut self, i: &'ast syn::ItemStatic) {
        self.constant(true, |f| visit::visit_item_static(f, i));
    }
    fn visit_variant(&mut self, i: &'ast syn::Variant) {
        self.constant(true, |f| visit::visit_variant(f, i));
    }
    fn visit_type(&mut self, i: &'ast syn::Type) {
        self.constant(true, |f| visit::visit_type(f, i));
    }
    fn visit_generic_argument(&mut self, i: &'ast syn::GenericArgument) {
        self.constant(true, |f| visit::visit_generic_argument(f, i));
    }
    fn visit_pat(&mut self, i: &'ast syn::Pat) {
        self.constant(true, |f| visit::visit_pat(f, i));
    }
    fn visit_expr_const(&mut self, i: &'ast syn::ExprConst) {
        self.constant(true, |f| visit::visit_expr_const(f, i));
    }
    fn visit_expr_repeat(&mut self, i: &'ast syn::ExprRepeat) {
        self.visit_expr(&i.expr);
        self.constant(true, |f| f.visit_expr(&i.len));
    }

    fn visit_expr_binary(&mut self, i: &'ast syn::ExprBinary) {
        let of = class(&i.op);
        if of == Class::Assign {
            let op = self.op("BinaryOperator", &i.op);
            if !op.mutants.is_empty() {
                self.add(range(i), Kind::Assign { place: range(&i.left), op, value: operand(&i.right) });
            }
            return visit::visit_expr_binary(self, i);
        }
        let (mut exprs, mut ops) = (Vec::new(), Vec::new());
        flatten(&i.left, of, &mut exprs, &mut ops);
        ops.push(&i.op);
        flatten(&i.right, of, &mut exprs, &mut ops);
        let ops: Vec<Op> = ops.into_iter().map(|op| self.op("BinaryOperator", op)).collect();
        if of == Class::Logic && exprs.iter().any(|e| binds(e)) {
            ops.into_iter().for_each(|op| self.leave(op.mutants, "beside a `let`"));
        } else if ops.iter().any(|op| !op.mutants.is_empty()) {
            let operands = exprs.iter().map(|e| operand(e)).collect();
            let kind = match of {
                Class::Logic => Kind::Logic { operands, ops },
                _ => Kind::Chain { borrowed: of == Class::Compare, operands, ops },
            };
            self.add(range(i), kind);
        }
        exprs.into_iter().for_each(|e| self.visit_expr(e));
    }

    fn visit_expr_unary(&mut self, i: &'ast syn::ExprUnary) {
        let op = self.op("UnaryOperator", &i.op);
        if !op.mutants.is_empty() {
            self.add(range(i), Kind::Unary { op, operand: operand(&i.expr) });
        }
        visit::visit_expr_unary(self, i);
    }

    fn visit_arm(&mut self, i: &'ast syn::Arm) {
        let arm = self.take("MatchArm", (i.span(), i.span()));
        if !arm.is_empty() {
            let end = range(&i.pat).end;
            self.add(end..end, Kind::Arm(arm));
        }
        if let Some((_, guard)) = &i.guard {
            let mutants = self.take("MatchArmGuard", (guard.span(), guard.span()));
            if binds(guard) {
                self.leave(mutants, "beside a `let`");
            } else if !mutants.is_empty() {
                self.add(range(guard), Kind::Guard(mutants));
            }
        }
        visit::visit_arm(self, i);
    }

    fn visit_expr_struct(&mut self, i: &'ast syn::ExprStruct) {
        for pair in i.fields.pairs() {
            let field = pair.value();
            let end = pair.punct().map_or(field.span(), |comma| comma.span());
            let mutants = self.take("StructField", (field.span(), end));
            let (syn::Member::Named(name), Some(rest)) = (&field.member, &i.rest) else { continue };
            if mutants.is_empty() {
                continue;
            }
            let base = self.text[range(&**rest)].to_owned();
            let base = if plain(rest) {
                format!("({base}).{name}")
            } else {
                format!("{{ let __b: {} = {base}; __b.{name} }}", &self.text[range(&i.path)])
            };
            let shorthand = field.colon_token.is_none().then(|| name.to_string());
            self.add(range(&field.expr), Kind::Field { mutants, shorthand, base });
        }
        visit::visit_expr_struct(self, i);
    }
}
