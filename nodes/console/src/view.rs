//! The view model: everything the page shows, computed here from the latest values, as plain numbers and words.
//!
//! Whatever is not known is `None`, never a comfortable default; whatever is old says how old.

use crate::{
    card::{Card, Phase},
    desk::{Conn, Desk, Notice},
    findings::ModelView,
    latest::{Latest, Seen},
    project::{Ghost, Outline},
    words,
};
use proctor_types::{
    Alignment, ArmId, Constraint, Digest, Finding, OperatingState, ProposalId, QualityVerdict, Role, SafetyMode, Skill,
    Stamp, Timing,
};
use serde::Serialize;

/// How long the end of a suggestion is told.
const TOLD_SECONDS: f64 = 6.0;
/// How long what autonomy says of its suggestions holds; it says so every second.
const SAID_SECONDS: f64 = 2.5;
/// How long a verdict line is shown.
const LINE_SECONDS: f64 = 8.0;

/// Joint speed below which an arm counts as resting, rad/s; a tenth of it in m/s for the insertion.
pub const RESTING: f64 = 0.01;

/// Ages beyond which a thing counts as stale, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaleLimits {
    /// Picture: by its stamp and by its arrival.
    pub picture_ms: u64,
    /// Picture whose content does not change although new ones come.
    pub frozen_ms: u64,
    /// Scene.
    pub scene_ms: u64,
    /// Measured joints.
    pub arm_ms: u64,
    /// Safety state.
    pub safety_ms: u64,
}

/// How bad an [`Alarm`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Autonomy is impaired.
    Warning,
    /// What is shown must not be trusted, or motion has been stopped.
    Critical,
}

/// Something that must be seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alarm {
    /// How bad.
    pub level: Level,
    /// Over the picture, or beside it.
    pub on_picture: bool,
    /// The words.
    pub words: String,
}

/// The picture's state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PictureView {
    /// Count of the newest, if any came.
    pub seq: Option<u64>,
    /// Age by its stamp, ms.
    pub age_ms: Option<f64>,
    /// Pictures per second.
    pub rate: f64,
    /// Whether it must not be trusted: missing, old, frozen or unusable.
    pub stale: bool,
}

/// The safety node's state.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is shown on its own")]
pub struct SafetyView {
    /// Mode.
    pub mode: SafetyMode,
    /// What the mode means.
    pub meaning: &'static str,
    /// Why it stopped, in words; empty if it did not.
    pub cause: &'static str,
    /// Whether the e-stop is latched.
    pub e_stop: bool,
    /// Autonomy level.
    pub level: u8,
    /// Whether an approved motion advances.
    pub moving: bool,
    /// Counts since start.
    pub executed: u64,
    /// Counts since start.
    pub refused: u64,
    /// Counts since start; must stay 0.
    pub violations: u64,
    /// Counts since start.
    pub overruns: u64,
    /// Whether it judges only and commands nothing.
    pub shadow: bool,
    /// Age, ms.
    pub age_ms: f64,
    /// Whether it is too old to be believed.
    pub stale: bool,
}

/// One arm's state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ArmView {
    /// Which.
    pub arm: ArmId,
    /// Age of the newest measured joints, ms.
    pub age_ms: Option<f64>,
    /// Whether they are missing or too old.
    pub stale: bool,
    /// Whether a measured joint is faster than [`RESTING`]; `false` when stale.
    pub moving: bool,
    /// CRTK state, if said.
    pub state: Option<OperatingState>,
    /// In words: what is known about it.
    pub words: &'static str,
    /// How picture and kinematics agree, pixels; instruments only.
    pub residual_px: Option<f64>,
    /// The nearest protected tissue: distance in mm and its name.
    pub nearest: Option<(f64, &'static str)>,
}

/// The proposal before the surgeon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CardView {
    /// Its name.
    pub id: ProposalId,
    /// Its digest, all of it; the page shows the first eight digits and sends all back.
    pub digest: Digest,
    /// Skill.
    pub skill: Skill,
    /// Title in words.
    pub title: &'static str,
    /// Which arm would move.
    pub arm: ArmId,
    /// What was seen and why.
    pub why: String,
    /// Confidence, [0, 1].
    pub confidence: f64,
    /// Smallest clearance along the way, mm.
    pub clearance_mm: Option<f64>,
    /// To what.
    pub clearance_to: &'static str,
    /// How long it takes, s.
    pub duration_s: f64,
    /// Until it expires, s; 0 once it is approved and past its expiry.
    pub left_s: f64,
    /// How long it could be decided on when it was shown, s.
    pub life_s: f64,
    /// How long it has been shown, s.
    pub shown_s: f64,
    /// `offered`, `waiting` (approved, at rest), `moving`.
    pub phase: &'static str,
    /// How far it is, [0, 1].
    pub progress: f64,
}

/// Who has the seat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeatView {
    /// The connection that decides; `None` while its operator is away.
    pub conn: Option<Conn>,
    /// What kind of client.
    pub role: Role,
}

/// Everything the page shows, but for the pictures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct View {
    /// Message kind for the page.
    pub t: &'static str,
    /// Rises by one per view.
    pub seq: u64,
    /// See [`PictureView`].
    pub picture: PictureView,
    /// `None` until the safety node spoke.
    pub safety: Option<SafetyView>,
    /// PSM1, PSM2, ECM.
    pub arms: Vec<ArmView>,
    /// Mean and 99th percentile of the newest, ms: shutter to picture here, to segmentation, to scene.
    pub latency_ms: [Option<[f64; 2]>; 3],
    /// The proposal, if any.
    pub card: Option<CardView>,
    /// What became of the last one, while that is news.
    pub ended: Option<String>,
    /// Why there is none, in words; `None` when there is one, or when autonomy has not said lately.
    pub none_because: Option<String>,
    /// Worst first.
    pub alarms: Vec<Alarm>,
    /// Verdict lines, newest first: words and age in seconds.
    pub lines: Vec<(String, f64)>,
    /// Who has the seat.
    pub seat: Option<SeatView>,
    /// The connection whose hold is on.
    pub holding: Option<Conn>,
    /// Latest notices.
    pub notices: Vec<Notice>,
    /// What models beside the segmentation found, by name.
    pub models: Vec<ModelView>,
    /// Where instruments are, in the picture.
    pub outlines: Vec<Outline>,
    /// Where the suggested motion would go, in the picture.
    pub ghost: Option<Ghost>,
}

/// Whether the picture must not be decided on at `now`, and since when in words.
pub fn picture_alarm(now: Stamp, latest: &Latest, limits: &StaleLimits) -> Option<String> {
    let Some(p) = latest.picture else { return Some("NO PICTURE".to_owned()) };
    let old = now.seconds_since(p.stamp.min(p.arrived));
    let unchanged = now.seconds_since(p.changed);
    if old * 1e3 > limits.picture_ms as f64 {
        return Some(format!("CAMERA STALE {old:.1} s"));
    }
    if unchanged * 1e3 > limits.frozen_ms as f64 {
        return Some(format!("CAMERA FROZEN {unchanged:.1} s"));
    }
    let quality = latest.quality.as_ref()?;
    (quality.value.verdict == QualityVerdict::Unusable)
        .then(|| format!("PICTURE UNUSABLE: {}", or(&quality.value.reason, "no reason given")))
}

/// Everything the page shows at `now`.
pub fn build(
    now: Stamp,
    seq: u64,
    latest: &Latest,
    desk: &Desk,
    limits: &StaleLimits,
    outlines: Vec<Outline>,
    ghost: Option<Ghost>,
) -> View {
    let safety = latest.safety.as_ref().map(|s| safety_view(now, s, limits));
    let progress = latest.safety.as_ref().map_or(0.0, |s| s.value.progress);
    View {
        t: "view",
        seq,
        picture: PictureView {
            seq: latest.picture.map(|p| p.seq),
            age_ms: latest.picture.map(|p| tenth(now.seconds_since(p.stamp) * 1e3)),
            rate: tenth(latest.picture.map_or(0.0, |p| p.rate)),
            stale: picture_alarm(now, latest, limits).is_some(),
        },
        arms: ArmId::ALL.into_iter().map(|a| arm_view(now, a, latest, limits)).collect(),
        latency_ms: [&latest.latency.picture, &latest.latency.segmentation, &latest.latency.scene]
            .map(|lag| lag.figures().map(|f| [tenth(f.mean_ms), tenth(f.p99_ms)])),
        card: latest.cards.current().map(|c| card_view(now, c, progress)),
        ended: latest
            .cards
            .last_ended()
            .filter(|e| now.seconds_since(e.at) < TOLD_SECONDS)
            .map(|e| format!("{}: {}", words::skill(e.skill), words::ending(e.how))),
        none_because: none_because(now, latest),
        alarms: alarms(now, latest, safety.as_ref(), limits),
        lines: latest
            .lines()
            .rev()
            .map(|l| (l.words.clone(), tenth(now.seconds_since(l.at))))
            .filter(|(_, age)| *age < LINE_SECONDS)
            .collect(),
        seat: desk.seat().map(|s| SeatView { conn: s.conn, role: s.role }),
        holding: desk.hold().map(|h| h.conn),
        notices: desk.notices().cloned().collect(),
        models: latest.findings.views(now, limits.scene_ms),
        safety,
        outlines,
        ghost,
    }
}

/// Why there is no suggestion.
fn none_because(now: Stamp, latest: &Latest) -> Option<String> {
    let said = latest.suggestions.as_ref().filter(|s| age_ms(now, s) < SAID_SECONDS * 1e3)?;
    latest.cards.current().is_none().then(|| said.value.clone())
}

fn safety_view(now: Stamp, s: &Seen<proctor_types::SafetyState>, limits: &StaleLimits) -> SafetyView {
    let age_ms = age_ms(now, s);
    let v = &s.value;
    SafetyView {
        mode: v.mode,
        meaning: if v.shadow { words::SHADOW } else { words::mode(v.mode) },
        cause: if matches!(v.mode, SafetyMode::Hold | SafetyMode::Fault) { words::cause(v.cause) } else { "" },
        e_stop: v.e_stop,
        level: v.autonomy_level,
        moving: v.moving,
        executed: v.executed,
        refused: v.refused,
        violations: v.violations,
        overruns: v.overruns,
        shadow: v.shadow,
        age_ms: tenth(age_ms),
        stale: age_ms > limits.safety_ms as f64,
    }
}

fn arm_view(now: Stamp, arm: ArmId, latest: &Latest, limits: &StaleLimits) -> ArmView {
    let age = latest.arms[arm.index()].as_ref().map(|s| age_ms(now, s));
    let stale = age.is_none_or(|a| a > limits.arm_ms as f64);
    let state = latest.status[arm.index()].map(|s| s.state);
    let scene = latest.scene.as_ref().filter(|s| age_ms(now, s) <= limits.scene_ms as f64).map(|s| &s.value);
    let seen = scene.and_then(|s| s.instrument(arm));
    let words = match (age, stale, state) {
        (None, _, _) => "silent",
        (Some(_), true, _) => "stale",
        (_, _, Some(OperatingState::Disabled)) => "off",
        (_, _, Some(OperatingState::Paused)) => "paused",
        (_, _, Some(OperatingState::Fault)) => "fault",
        (_, _, Some(OperatingState::Enabled) | None) => seen.map_or("on", |i| words::alignment(i.alignment)),
    };
    let is_fast = |(i, v): (usize, &f64)| v.abs() > if i == 2 { RESTING / 10.0 } else { RESTING };
    let moving = latest.arms[arm.index()].as_ref().is_some_and(|s| s.value.velocity.iter().enumerate().any(is_fast));
    let nearest = scene.and_then(|s| {
        let of_arm = s.clearances.iter().filter(|c| c.arm == arm);
        of_arm.min_by(|a, b| a.distance.total_cmp(&b.distance))
    });
    ArmView {
        arm,
        age_ms: age.map(tenth),
        stale,
        moving: moving && !stale,
        state,
        words,
        residual_px: seen.map(|i| tenth(i.residual_px)),
        nearest: nearest.map(|c| (tenth(c.distance * 1e3), words::class_name(c.class))),
    }
}

fn card_view(now: Stamp, card: &Card, progress: f64) -> CardView {
    let p = &card.proposal;
    CardView {
        id: p.id,
        digest: card.digest,
        skill: p.skill,
        title: words::skill(p.skill),
        arm: p.trajectory.arm(),
        why: p.evidence.summary.clone(),
        confidence: p.evidence.confidence,
        clearance_mm: p.evidence.smallest_clearance.map(|m| tenth(m * 1e3)),
        clearance_to: words::class_name(p.evidence.clearance_class),
        duration_s: tenth(p.trajectory.duration()),
        left_s: tenth(p.expires.seconds_since(now).max(0.0)),
        life_s: tenth(p.expires.seconds_since(card.shown).max(0.1)),
        shown_s: tenth(now.seconds_since(card.shown)),
        phase: match card.phase {
            Phase::Offered => "offered",
            Phase::Waiting => "waiting",
            Phase::Moving => "moving",
        },
        progress: if card.phase == Phase::Offered { 0.0 } else { progress },
    }
}

fn alarms(now: Stamp, latest: &Latest, safety: Option<&SafetyView>, limits: &StaleLimits) -> Vec<Alarm> {
    let mut out = Vec::new();
    let mut say = |level, on_picture, words| out.push(Alarm { level, on_picture, words });
    match safety {
        None => say(Level::Critical, false, "Safety node: nothing heard".to_owned()),
        Some(s) if s.stale => {
            say(Level::Critical, false, format!("Safety node silent for {:.1} s", s.age_ms / 1e3));
        }
        Some(s) if s.violations > 0 => say(Level::Critical, false, format!("{} safety violations", s.violations)),
        Some(_) => {}
    }
    if let Some(words) = picture_alarm(now, latest, limits) {
        say(Level::Critical, true, words);
    } else if let Some(q) = latest.quality.as_ref().filter(|q| q.value.verdict == QualityVerdict::Degraded) {
        say(Level::Warning, true, format!("Picture degraded: {}", or(&q.value.reason, "no reason given")));
    }
    for arm in ArmId::ALL {
        match &latest.arms[arm.index()] {
            None => say(Level::Warning, false, format!("{arm}: nothing heard")),
            Some(s) if age_ms(now, s) > limits.arm_ms as f64 => {
                say(Level::Critical, false, format!("{arm} silent for {:.1} s", age_ms(now, s) / 1e3));
            }
            Some(_) => {}
        }
    }
    // Teleoperation goes on without a scene.
    let driven = safety.is_some_and(|s| s.mode == SafetyMode::Teleop);
    match &latest.scene {
        Some(s) if age_ms(now, s) > limits.scene_ms as f64 => {
            let kept = if driven { ": kept from tissue where it was last seen" } else { "" };
            say(Level::Warning, false, format!("Scene {:.1} s old{kept}", age_ms(now, s) / 1e3));
        }
        Some(s) => {
            for i in &s.value.instruments {
                match (i.finding, i.alignment) {
                    (Finding::None | Finding::TimeUnknown, Alignment::Inconsistent) => {
                        say(Level::Warning, false, format!("{}: picture and kinematics disagree", i.arm));
                    }
                    (Finding::None | Finding::TimeUnknown, _) => {}
                    (finding, _) => say(Level::Warning, false, format!("{}: {}", i.arm, finding.words())),
                }
            }
            if s.value.time.timing == Timing::Unknown {
                say(Level::Warning, false, "Timing between video and robot is not known: no suggestions".to_owned());
            }
        }
        None if driven => say(Level::Warning, false, "No scene yet: nothing is kept from tissue".to_owned()),
        None => say(Level::Warning, false, "No scene yet".to_owned()),
    }
    if let Some(s) = safety.filter(|s| s.mode == SafetyMode::Fault && s.cause != words::cause(Constraint::EStop)) {
        say(Level::Critical, false, format!("Fault: {}", s.cause));
    }
    out.sort_by_key(|a| a.level == Level::Warning);
    out
}

/// Age by stamp or by arrival, whichever is longer, ms.
fn age_ms<T>(now: Stamp, s: &Seen<T>) -> f64 {
    now.seconds_since(s.stamp.min(s.arrived)) * 1e3
}

fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        desk::DeskLimits,
        testing::{at, proposal, safety, scene},
    };
    use proctor_types::{ArmJoints, Diagnosis, Diagnostics, ImageQuality, Joints};

    const LIMITS: StaleLimits =
        StaleLimits { picture_ms: 250, frozen_ms: 500, scene_ms: 500, arm_ms: 100, safety_ms: 300 };

    fn view(now: i64, latest: &Latest) -> View {
        let desk = Desk::new(at(0), DeskLimits { gap_ms: 100, seen_ms: 250, seat_ms: 1000 });
        build(at(now), 1, latest, &desk, &LIMITS, Vec::new(), None)
    }

    /// Everything fresh at 0 ms.
    fn healthy() -> Latest {
        let mut l = Latest::default();
        l.picture(at(0), 1, at(-10), 1);
        l.safety(at(0), safety(SafetyMode::Supervised));
        l.scene(at(0), scene());
        for arm in ArmId::ALL {
            let zeros = Joints::zeros(arm.dof());
            l.arm(at(0), ArmJoints { arm, stamp: at(0), position: zeros, velocity: zeros });
        }
        l
    }

    fn words(v: &View) -> Vec<&str> {
        v.alarms.iter().map(|a| a.words.as_str()).collect()
    }

    #[test]
    fn nothing_heard_is_said_and_never_looks_healthy() {
        let v = view(0, &Latest::default());
        assert!(v.picture.stale && v.safety.is_none() && v.arms.iter().all(|a| a.stale && a.words == "silent"));
        assert_eq!(
            words(&v),
            [
                "Safety node: nothing heard",
                "NO PICTURE",
                "PSM1: nothing heard",
                "PSM2: nothing heard",
                "ECM: nothing heard",
                "No scene yet"
            ]
        );
    }

    #[test]
    fn all_fresh_raises_no_alarm() {
        let v = view(5, &healthy());
        assert_eq!(words(&v), Vec::<&str>::new());
        assert_eq!((v.picture.stale, v.arms[0].words), (false, "aligned"));
    }

    #[test]
    fn a_camera_that_stops_is_stale_by_its_stamp() {
        let mut l = healthy();
        assert!(!view(240, &l).picture.stale);
        let v = view(790, &l);
        assert!(v.picture.stale);
        assert!(words(&v).contains(&"CAMERA STALE 0.8 s"), "{:?}", v.alarms);
        // Old pictures that keep arriving are as bad.
        l.picture(at(789), 2, at(100), 2);
        assert!(view(790, &l).picture.stale);
    }

    #[test]
    fn a_camera_that_repeats_itself_is_frozen_though_its_stamps_advance() {
        let mut l = healthy();
        for ms in (33..900).step_by(33) {
            l.picture(at(ms), 2, at(ms - 10), 1);
        }
        let v = view(900, &l);
        assert!(v.picture.stale);
        assert!(words(&v).contains(&"CAMERA FROZEN 0.9 s"), "{:?}", v.alarms);
        l.picture(at(910), 3, at(900), 2);
        assert!(!view(911, &l).picture.stale);
    }

    #[test]
    fn an_unusable_picture_is_not_to_be_decided_on_and_a_degraded_one_is_warned_about() {
        for (verdict, stale, text) in [
            (QualityVerdict::Unusable, true, "PICTURE UNUSABLE: blackout"),
            (QualityVerdict::Degraded, false, "Picture degraded: blackout"),
        ] {
            let mut l = healthy();
            let value = ImageQuality { verdict, reason: "blackout".to_owned(), ..ImageQuality::default() };
            l.quality = Some(Seen { value, stamp: at(0), arrived: at(0) });
            let v = view(1, &l);
            assert_eq!(v.picture.stale, stale);
            assert_eq!(words(&v), [text]);
        }
    }

    #[test]
    fn silence_of_each_source_is_said_with_its_length() {
        let v = view(1000, &healthy());
        for expected in ["Safety node silent for 1.0 s", "PSM2 silent for 1.0 s", "Scene 1.0 s old"] {
            assert!(words(&v).contains(&expected), "{:?}", v.alarms);
        }
        assert_eq!(v.alarms.last().unwrap().level, Level::Warning, "worst first");
    }

    #[test]
    fn who_teleoperates_without_a_live_scene_is_told_what_keeps_from_tissue() {
        for (mode, none, old) in [
            (
                SafetyMode::Teleop,
                "No scene yet: nothing is kept from tissue",
                "Scene 1.0 s old: kept from tissue where it was last seen",
            ),
            (SafetyMode::Ready, "No scene yet", "Scene 1.0 s old"),
        ] {
            let mut l = healthy();
            l.safety(at(1000), safety(mode));
            assert!(words(&view(1000, &l)).contains(&old), "{mode:?}");
            l.scene = None;
            assert!(words(&view(1000, &l)).contains(&none), "{mode:?}");
        }
    }

    #[test]
    fn what_fusion_finds_wrong_is_said_in_plain_words() {
        let mut l = healthy();
        let mut scene = crate::testing::scene();
        scene.time.timing = Timing::Unknown;
        scene.instruments[0].finding = Finding::TimeUnknown;
        scene.instruments[1].finding = Finding::WrongGeometry;
        l.scene(at(0), scene);
        let said = view(1, &l);
        let expected = [
            "PSM2: is not as long as the configured instrument",
            "Timing between video and robot is not known: no suggestions",
        ];
        assert_eq!(words(&said), expected);
    }

    #[test]
    fn why_there_is_no_suggestion_is_said_while_there_is_none_and_it_was_said_lately() {
        let mut l = healthy();
        let said = |name: &str, words: &str| {
            let one = Diagnosis { name: name.to_owned(), message: words.to_owned(), ..Diagnosis::default() };
            Diagnostics { stamp: at(0), all: vec![one] }
        };
        assert_eq!(view(1, &l).none_because, None);
        l.diagnostics(at(0), &said(Diagnosis::SUGGESTIONS, "PSM1 is aligning (12.0 px, known to 2.1 mm)"));
        l.diagnostics(at(0), &said("safety: loop", "keeps its time"));
        assert_eq!(view(1, &l).none_because.as_deref(), Some("PSM1 is aligning (12.0 px, known to 2.1 mm)"));
        assert_eq!(view(2600, &l).none_because, None, "autonomy is silent");
        l.cards.offer(at(0), proposal(3, 12_000));
        assert_eq!(view(1, &l).none_because, None, "there is one");
    }

    #[test]
    fn an_arm_moves_when_a_joint_does() {
        for (joint, speed, moving) in
            [(0, 0.011, true), (0, -0.011, true), (0, 0.009, false), (2, 0.0011, true), (2, 0.0009, false)]
        {
            let mut l = healthy();
            let mut velocity = [0.0; 6];
            velocity[joint] = speed;
            let (position, velocity) = (Joints::zeros(6), Joints::new(&velocity).unwrap());
            l.arm(at(1), ArmJoints { arm: ArmId::Psm1, stamp: at(1), position, velocity });
            assert_eq!(view(2, &l).arms[0].moving, moving, "joint {joint} at {speed}");
            assert!(!view(500, &l).arms[0].moving, "nobody knows any more");
        }
    }

    #[test]
    fn the_card_carries_the_digest_of_what_arrived_and_counts_down() {
        let mut l = healthy();
        let p = proposal(3, 12_000);
        l.cards.offer(at(0), p.clone());
        let card = view(4000, &l).card.unwrap();
        assert_eq!(card.digest, p.digest());
        assert_eq!((card.left_s, card.life_s, card.duration_s), (8.0, 12.0, 2.0));
        assert_eq!((card.clearance_mm, card.clearance_to), (Some(8.2), "cystic artery"));
        assert_eq!((card.phase, card.progress), ("offered", 0.0));
    }

    #[test]
    fn the_reason_of_a_stop_is_shown_only_while_stopped() {
        let mut l = healthy();
        let mut s = safety(SafetyMode::Hold);
        s.cause = Constraint::SceneStale;
        l.safety(at(1), s);
        assert_eq!(view(2, &l).safety.unwrap().cause, "no fresh picture of the scene");
        s.mode = SafetyMode::Ready;
        l.safety(at(3), s);
        assert_eq!(view(4, &l).safety.unwrap().cause, "");
    }
}
