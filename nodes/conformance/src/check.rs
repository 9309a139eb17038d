//! Every question that is put to an arm, with what CRTK or Proctor expects as the answer.

use serde::{Serialize, Serializer};

/// How far a probe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Listens; sends nothing and has no writer that could.
    #[default]
    Watch,
    /// Goes through the state machine, turns the roll joint by at most [`crate::script::TURN`], and commands what an arm must ignore.
    Move,
    /// Also gives an enabled arm a jump, NaN and a goal beyond a limit.
    Provoke,
}

impl Level {
    /// Name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Move => "move",
            Self::Provoke => "provoke",
        }
    }
}

macro_rules! checks {
    ($($level:ident $name:ident = $id:literal, $crtk:literal, $asked:literal, $expected:literal;)+) => {
        /// One question. Listed in the order in which they are put.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each is spelled out by `asked` and `expected`")]
        pub enum Check { $($name,)+ }

        impl Check {
            /// Every check, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Short name.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// The CRTK topic, message field or command that it is about.
            pub const fn crtk(self) -> &'static str {
                match self { $(Self::$name => $crtk,)+ }
            }

            /// What is asked.
            pub const fn asked(self) -> &'static str {
                match self { $(Self::$name => $asked,)+ }
            }

            /// What is expected.
            pub const fn expected(self) -> &'static str {
                match self { $(Self::$name => $expected,)+ }
            }

            /// What it takes to ask.
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level,)+ }
            }
        }
    };
}

checks! {
    Watch MeasuredJs = "topic.measured_js", "measured_js", "is it heard?", "sensor_msgs/msg/JointState from one writer";
    Watch SetpointJs = "topic.setpoint_js", "setpoint_js", "is it heard?", "sensor_msgs/msg/JointState from one writer";
    Watch MeasuredCp = "topic.measured_cp", "measured_cp", "is it heard?", "geometry_msgs/msg/PoseStamped from one writer";
    Watch JawMeasuredJs = "topic.jaw_measured_js", "jaw/measured_js", "is it heard, if the instrument has a jaw?",
        "sensor_msgs/msg/JointState of one joint from one writer";
    Watch OperatingState = "topic.operating_state", "operating_state", "does who joins late learn the state?",
        "crtk_msgs/msg/OperatingState within a second of joining";
    Watch ServoJp = "topic.servo_jp", "servo_jp", "does the arm read it?", "a reader of sensor_msgs/msg/JointState";
    Watch StateCommand = "topic.state_command", "state_command", "does the arm read it?",
        "a reader of crtk_msgs/msg/StringStamped";
    Watch Names = "joints.names", "measured_js.name", "which joints?", "the dVRK's names in order, or none";
    Watch Lengths = "joints.lengths", "measured_js.position, velocity", "how many numbers?",
        "one position and one velocity per joint";
    Watch Finite = "joints.finite", "measured_js.position, velocity", "are they numbers?", "no NaN, no infinity";
    Watch Units = "joints.units", "measured_js.position", "radians and metres?",
        "every joint within the model's limits, as degrees and millimetres would not be";
    Watch Pose = "pose.kinematics", "measured_cp.pose", "is it where the joints put the tool tip?",
        "within 2 mm and 0.05 rad of forward kinematics, in metres, from the remote centre";
    Watch Frame = "pose.frame", "measured_cp.header.frame_id", "in which frame?", "the arm's base";
    Watch Rate = "rate.mean", "measured_js", "how often?", "at least 100 Hz";
    Watch Gap = "rate.gap", "measured_js", "how long is it silent at most?",
        "at most 30 ms between stamps: then the safety node holds";
    Watch Stamps = "stamps.order", "measured_js.header.stamp", "do stamps rise?", "none is 0, none steps back";
    Watch Clock = "stamps.clock", "measured_js.header.stamp", "do the clocks agree?",
        "stamps at most 30 ms old and 20 ms ahead when they arrive";
    Watch Words = "state.words", "operating_state.state", "which states?", "DISABLED, ENABLED, PAUSED or FAULT";
    Move OutOfTurn = "state.out_of_turn", "state_command resume", "is resume ignored while DISABLED?", "still DISABLED";
    Move UnknownWord = "state.unknown_word", "state_command", "is the word \"proctor\" ignored?", "still DISABLED";
    Move LatchedEnable = "safety.latched_enable", "state_command enable",
        "is an enable that was said 10 s ago ignored, as a latched topic would deliver it?", "still DISABLED";
    Move Disabled = "safety.disabled", "servo_jp", "is a goal ignored while DISABLED?", "the arm rests";
    Move Enable = "state.enable", "state_command enable", "does it enable?", "ENABLED within 2 s";
    Move EnableRests = "safety.enable_rests", "state_command enable", "does enabling move it?",
        "the arm rests, whatever was commanded before";
    Move Pause = "state.pause", "state_command pause", "does it pause?", "PAUSED within 2 s";
    Move Paused = "safety.paused", "servo_jp", "is a goal ignored while PAUSED?", "the arm rests";
    Move Resume = "state.resume", "state_command resume", "does it resume?", "ENABLED within 2 s";
    Move Follows = "servo.follows", "servo_jp", "does it follow 0.03 rad of roll in a second?",
        "measured_js there within 0.01 rad";
    Move Tells = "servo.setpoint", "setpoint_js", "does it tell what it steers towards?",
        "setpoint_js at the goal within 0.002 rad";
    Move Silence = "safety.silence", "servo_jp", "what when set-points cease in the middle of a motion?",
        "0.7 s later it is within 0.01 rad of where it was led";
    Move Stale = "safety.stale", "servo_jp", "is a goal of 1 s ago ignored?", "the arm rests";
    Move Length = "safety.length", "servo_jp", "is a goal with a joint too few ignored?", "the arm rests";
    Move Disable = "state.disable", "state_command disable", "does it disable?", "DISABLED within 2 s";
    Provoke Nan = "safety.nan", "servo_jp", "is a goal of NaN ignored?", "the arm rests, ENABLED, and measures numbers";
    Provoke Jump = "safety.jump", "servo_jp", "what with a goal 0.05 rad away at once?",
        "refused, or followed no faster than the joint's largest speed";
    Provoke Beyond = "safety.limits", "servo_jp", "what with a goal beyond the roll's limit?",
        "refused, or setpoint_js and measured_js stay within it";
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_levels_rise() {
        let ids: std::collections::BTreeSet<_> = Check::ALL.iter().map(|c| c.id()).collect();
        assert_eq!(ids.len(), Check::ALL.len());
        assert!(Check::ALL.is_sorted_by_key(|c| c.level()), "what is harmless is asked first");
    }
}
