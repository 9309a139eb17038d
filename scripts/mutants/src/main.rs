//! Puts the mutants that cargo-mutants lists into one build, each behind a switch (mutant schemata):
//! `mutants LIST REFUSED SOURCES COPY OUT`.
//!
//! LIST is `cargo mutants --list --json`, REFUSED a JSON array of names to leave out, SOURCES and COPY two trees with the same files: those of COPY are
//! written. OUT gets `{"switched": [{name, file, number, site}], "left": {name: why}}`; `site` is the number that marks the site as reached.
//!
//! A mutant is what cargo-mutants would write, text for text: `a * b * c` with `+` for the first `*` is `a + b * c`. Text is sliced, not printed anew,
//! and stays on its line. Comments tell what each alternative (`/*<7*/ .. /*>*/`) and each site (`/*{7 8*/ .. /*}*/`) is, for the compiler's errors.

mod render;
mod sites;

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::Path,
};

/// What cargo-mutants would put in the place of a span.
pub struct Mutant {
    pub name: String,
    pub genre: String,
    pub replacement: String,
}

/// Line and column of both ends, as cargo-mutants counts them.
pub type Key = (String, [u64; 4]);

/// The mutants of one file by genre and span.
pub type Listed = HashMap<Key, Vec<Mutant>>;

fn read(path: &str) -> Result<Value, Box<dyn std::error::Error>> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [list, refused, sources, copy, out] = args.as_slice() else {
        return Err("usage: mutants LIST REFUSED SOURCES COPY OUT".into());
    };
    let refused: HashSet<String> = serde_json::from_value(read(refused)?)?;
    let mut files: BTreeMap<String, Listed> = BTreeMap::new();
    let mut left = BTreeMap::new();
    for m in read(list)?.as_array().ok_or("LIST is no array")? {
        let text = |key: &str| m[key].as_str().unwrap_or_default().to_owned();
        let span = &m["span"];
        let ends = [&span["start"]["line"], &span["start"]["column"], &span["end"]["line"], &span["end"]["column"]];
        let ends = ends.map(|v| v.as_u64().unwrap_or(0));
        let mutant = Mutant { name: text("name"), genre: text("genre"), replacement: text("replacement") };
        let listed = files.entry(text("file")).or_default();
        if !refused.contains(&mutant.name) {
            left.insert(mutant.name.clone(), "in a constant, or in no place that can be switched");
            listed.entry((text("genre"), ends)).or_default().push(mutant);
        }
    }
    let (mut switched, mut next) = (Vec::new(), 1);
    for (file, listed) in files {
        let text = fs::read_to_string(Path::new(sources).join(&file))?;
        let found = sites::find(&text, listed).map_err(|e| format!("{file}: {e}"))?;
        left.extend(found.left);
        let (text, rows) = render::file(&text, found.sites, &mut next);
        fs::write(Path::new(copy).join(&file), text)?;
        for row in rows {
            left.remove(&row.name);
            switched.push(json!({"name": row.name, "file": file, "number": row.number, "site": row.site}));
        }
    }
    fs::write(out, serde_json::to_string(&json!({"switched": switched, "left": left}))?)?;
    Ok(())
}
