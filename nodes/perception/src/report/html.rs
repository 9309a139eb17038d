//! The page: no script, nothing loaded from anywhere.

use super::{
    bootstrap::Estimate,
    figures,
    summary::{Calibration, Group, Summary, text},
};
use crate::manifest::Manifest;
use std::{collections::BTreeMap, fmt::Write as _};

/// Groups of fewer pictures are marked: their intervals mean little.
const FEW: usize = 10;

const STYLE: &str = "
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:1060px;margin:0 auto;padding:24px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:36px 0 8px;border-bottom:2px solid #d6dde6;padding-bottom:4px}
.warn{background:#fff4d6;border-left:4px solid #d39a00;padding:8px 12px}.note{color:#55606e}
table{border-collapse:collapse;margin:12px 0;font-size:14px;font-variant-numeric:tabular-nums}th,td{padding:4px 12px 4px 0;text-align:right;border-bottom:1px solid #e4e9ef}
td{white-space:nowrap}td.note{font-size:13px}th{color:#55606e;font-weight:600}th:first-child,td:first-child,.name{text-align:left}
.key{display:inline-block;width:12px;height:12px;border:1px solid #8894a3;margin-right:8px;vertical-align:-1px}
.figures{display:flex;flex-wrap:wrap;gap:32px;margin:12px 0}.figures div{min-width:150px}.big{font-size:26px;font-weight:600}
svg{max-width:640px;width:100%;font:12px system-ui,sans-serif;fill:#1c2430}.pair{display:flex;flex-wrap:wrap;gap:24px}.pair svg{max-width:340px}
.grid{stroke:#d6dde6}.bar{stroke:#2364aa;stroke-width:3}.dot{fill:#2364aa}.frame{fill:none;stroke:#8894a3}
.ideal{stroke:#8894a3;stroke-dasharray:5 4}.curve{fill:none;stroke:#2364aa;stroke-width:1.5}.tick{fill:#55606e}
figure{margin:0 0 20px}figcaption{margin-bottom:4px}.row{display:flex;flex-wrap:wrap;gap:8px}.row span{display:block;color:#55606e;font-size:13px}
img{width:320px;max-width:100%;height:auto;display:block}
";

/// A picture of the gallery, pictures as data URIs.
pub struct Shown {
    pub name: String,
    pub mean_iou: f64,
    /// The worst classes with their IoU.
    pub worst: Vec<(String, f64)>,
    pub groups: BTreeMap<String, String>,
    pub picture: String,
    pub truth: String,
    pub answer: String,
}

/// What the page says.
pub struct Page<'a> {
    pub manifest: &'a Manifest,
    pub data: String,
    pub pictures: usize,
    pub classes: &'a [String],
    pub colours: &'a [[u8; 3]],
    pub summary: &'a Summary,
    pub gallery: Vec<Shown>,
    pub saliency_of: &'a str,
    /// Class, largest loss, picture.
    pub saliency: Vec<(String, f64, String)>,
    pub replicates: u32,
    pub seed: u64,
}

/// Text that cannot be taken for markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn shown(estimate: Option<&Estimate>, digits: usize) -> String {
    estimate.map_or_else(|| "-".to_owned(), |e| text(e, digits))
}

impl Page<'_> {
    /// The whole file.
    pub fn text(&self) -> String {
        let name = escape(&self.manifest.name);
        let sections = [
            self.head(),
            self.performance(),
            self.summary.calibration.as_ref().map_or_else(String::new, calibration),
            self.robustness(),
            self.failures(),
            self.saliency_maps(),
            self.method(),
        ];
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>Model report: {name}</title><style>{STYLE}</style>\n{}</html>\n",
            sections.join("\n")
        )
    }

    fn head(&self) -> String {
        let m = self.manifest;
        let ece = self.summary.calibration.as_ref().and_then(|c| c.before.ece);
        let figure = |what: &str, e: Option<&Estimate>, digits| {
            let value = e.map_or_else(|| "-".to_owned(), |e| format!("{:.digits$}", e.value));
            let range =
                e.map_or_else(String::new, |e| format!("95 % interval {:.digits$} to {:.digits$}", e.low, e.high));
            format!("<div>{what}<br><span class=big>{value}</span><br><span class=note>{range}</span></div>")
        };
        format!(
            "<h1>Model report: {}</h1><p class=note>{}<br>SHA-256 {}</p>\
             <p class=warn>Research software, not a medical device. These figures hold for the {} pictures of {} and for nothing else; \
             a figure from simulation is not a figure from tissue.</p>\
             <div class=figures>{}{}{}</div>\
             <p><b>Trained on:</b> {}. <b>Licence:</b> {}.</p><p><b>Limits, by its makers:</b> {}</p>",
            escape(&m.name),
            escape(&m.description),
            m.sha256,
            self.pictures,
            escape(&self.data),
            figure("Mean IoU", Some(&self.summary.mean_iou), 3),
            figure("Instruments, binary IoU", self.summary.instrument.as_ref(), 3),
            figure("Expected calibration error", ece.as_ref(), 4),
            escape(&m.training.data),
            escape(&m.licence),
            escape(if m.limits.is_empty() { "nothing said" } else { &m.limits }),
        )
    }

    fn performance(&self) -> String {
        let mut rows = String::new();
        for (class, [r, g, b]) in self.summary.classes.iter().zip(self.colours) {
            let [both, missed, invented] = class.outlines;
            let _ = write!(
                rows,
                "<tr><td><span class=key style=\"background:rgb({r},{g},{b})\"></span>{}</td><td>{:.1} %</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{both} / {missed} / {invented}</td></tr>",
                escape(&class.name),
                100.0 * class.share,
                shown(class.iou.as_ref(), 3),
                shown(class.dice.as_ref(), 3),
                shown(class.distance.as_ref(), 1),
                shown(class.hd95.as_ref(), 1),
            );
        }
        let plot: Vec<_> = self.summary.classes.iter().map(|c| (c.name.clone(), c.iou)).collect();
        format!(
            "<h2>Performance</h2>{}<table><tr><th>class<th>of mask pixels<th>IoU<th>Dice<th>outline distance, px<th>HD95, px\
             <th>outlines: both / missed / invented</tr>{rows}</table>\
             <p class=note>IoU and Dice over all pixels of all pictures. Outline distance: mean from either outline to the other, \
             HD95: 95th percentile, each averaged over the pictures that have both; the picture's edge is no outline. \
             In brackets: 95 % intervals.</p>",
            figures::interval_plot(&plot)
        ) + &self.ignored()
    }

    /// What the model makes of what belongs to no class.
    fn ignored(&self) -> String {
        let all: u64 = self.summary.ignored.iter().map(|m| m.pixels).sum();
        if all == 0 {
            return String::new();
        }
        let mut made: Vec<_> = self.classes.iter().zip(&self.summary.ignored).filter(|m| m.1.pixels > 0).collect();
        made.sort_by_key(|m| std::cmp::Reverse(m.1.pixels));
        let mut rows = String::new();
        for (name, m) in made {
            let (share, confidence) = (100.0 * m.pixels as f64 / all as f64, m.confidence / m.pixels as f64);
            let _ = write!(rows, "<tr><td>{}</td><td>{share:.1} %</td><td>{confidence:.2}</td></tr>", escape(name));
        }
        format!(
            "<p>Pixels that the masks leave out (unknown objects) count for nothing above. The model calls them:</p>\
             <table><tr><th>class<th>share<th>mean confidence</tr>{rows}</table>"
        )
    }

    fn robustness(&self) -> String {
        if self.summary.groups.is_empty() {
            return "<h2>Robustness by subgroup</h2><p>The data say nothing about conditions.</p>".to_owned();
        }
        let row = |g: &Group| {
            let few = if g.pictures < FEW { " (few)" } else { "" };
            format!(
                "<tr><td>{}</td><td class=name>{}</td><td>{}{few}</td><td>{}</td><td>{}</td></tr>",
                escape(&g.key.replace('_', " ")),
                escape(&g.name),
                g.pictures,
                text(&g.mean_iou, 3),
                shown(g.instrument.as_ref(), 3)
            )
        };
        let rows: String = self.summary.groups.iter().map(row).collect();
        format!(
            "<h2>Robustness by subgroup, worst first</h2><table><tr><th>by<th class=name>group<th>pictures<th>mean IoU<th>instruments, binary IoU</tr>\
             {rows}</table><p class=note>A picture is in one group of every kind, so groups overlap and causes mix: a dark picture may also \
             be a smoky one. Groups of fewer than {FEW} pictures are marked. Mean IoU is over the classes that the group's masks show, so that a few invented pixels do not \
             count as a class.</p>"
        )
    }

    fn failures(&self) -> String {
        let mut out =
            "<h2>Failures</h2><p>The pictures with the lowest mean IoU over the classes that their masks show.</p>"
                .to_owned();
        for s in &self.gallery {
            let list = |parts: Vec<String>| escape(&parts.join(", "));
            let worst = list(s.worst.iter().map(|(name, iou)| format!("{name} {iou:.2}")).collect());
            let groups =
                list(s.groups.iter().map(|(key, group)| format!("{} {group}", key.replace('_', " "))).collect());
            let _ = write!(
                out,
                "<figure><figcaption><b>{}</b>: mean IoU {:.3}; {worst}.<br><span class=note>{groups}</span></figcaption><div class=row>\
                 <div><img alt=\"picture\" src=\"{}\"><span>picture</span></div><div><img alt=\"truth\" src=\"{}\"><span>truth</span></div>\
                 <div><img alt=\"answer\" src=\"{}\"><span>answer</span></div></div></figure>",
                escape(&s.name),
                s.mean_iou,
                s.picture,
                s.truth,
                s.answer
            );
        }
        out
    }

    fn saliency_maps(&self) -> String {
        let patch = super::saliency::PATCH;
        let mut maps = String::new();
        for (name, most, uri) in &self.saliency {
            let name = escape(name);
            let caption = format!("{name}, at most -{most:.2}");
            let _ = write!(maps, "<div><img alt=\"saliency of {name}\" src=\"{uri}\"><span>{caption}</span></div>");
        }
        format!(
            "<h2>What the answers rest on: {}</h2><p>Where a patch of the mean colour ({patch} x {patch} pixels of the network's picture) \
             takes most probability from the pixels that were given to a class, those under the patch aside: yellow little, red most.</p>\
             <div class=row>{maps}</div>",
            escape(self.saliency_of)
        )
    }

    fn method(&self) -> String {
        format!(
            "<h2>Method</h2><p>Made by <code>proctor model report</code>, Proctor {}, after the topics of AAPM Task Group Report 273. \
             Intervals: percentile bootstrap over pictures, {} drawings, seed {}; pictures that show the same patient are not \
             independent, so that intervals are too narrow where patients are few. Calibration: every fourth row and column, {} steps of confidence; \
             the temperature is fitted on a random half of the pictures and judged on the other. Saliency: occlusion sensitivity \
             (Zeiler and Fergus 2014). Temperature scaling: Guo et al. 2017.</p>",
            env!("CARGO_PKG_VERSION"),
            self.replicates,
            self.seed,
            super::calibration::BINS
        )
    }
}

fn calibration(c: &Calibration) -> String {
    let row = |what: String, r: &super::summary::Reliability| {
        format!("<tr><td>{what}</td><td>{}</td><td>{:.4}</td></tr>", shown(r.ece.as_ref(), 4), r.log_loss)
    };
    format!(
        "<h2>Calibration</h2><div class=pair>{}{}</div><table><tr><th><th>expected calibration error<th>log loss, nats</tr>{}{}</table>\
         <p class=note>Judged on {} pixels of the {} pictures that the temperature was not fitted on. Dots below the diagonal: surer than right. \
         Proctor runs the model at temperature {:.2} (output.temperature of its manifest).</p>",
        figures::reliability_plot(&c.before.bins, "as it is"),
        figures::reliability_plot(&c.after.bins, &format!("at temperature {:.2}", c.temperature)),
        row("as it is".to_owned(), &c.before),
        row(format!("at temperature {:.2}", c.temperature), &c.after),
        c.judged.1,
        c.judged.0,
        c.running
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_cannot_become_markup() {
        assert_eq!(escape("<b a=\"x\">&"), "&lt;b a=&quot;x&quot;&gt;&amp;");
    }
}
