//! What fusion survived, counted.

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FusionStats {
    /// Scenes made.
    pub scenes: u64,
    /// Segmentations whose stamp was not the picture's.
    pub mismatched_segmentations: u64,
    /// Label images that were not the picture divided by a whole factor, pictures of odd size, unusable cameras.
    pub malformed_pictures: u64,
    /// Pixels with a label that is no class.
    pub unknown_label_pixels: u64,
    /// Pictures with the stamp of the one before.
    pub duplicate_frames: u64,
    /// Pictures older than the one before.
    pub backward_frames: u64,
    /// Times the clock was set back (pictures or joints).
    pub clock_resets: u64,
    /// Joint samples with the stamp of the one before.
    pub duplicate_states: u64,
    /// Joint samples older than the one before.
    pub backward_states: u64,
    /// Joint samples with the wrong number of joints or a jaw that is not finite.
    pub malformed_states: u64,
    /// Joint samples left out because no arm moves so fast.
    pub bad_poses: u64,
    /// Pictures for which an arm's joints were not known, by arm index.
    pub joints_refused: [u64; 3],
    /// Pictures for which an arm's joints were carried beyond the newest sample, by arm index.
    pub joints_extrapolated: [u64; 3],
    /// Times that the offset between the stamps of pictures and joints changed by more than `time_jump_s`.
    pub time_jumps: u64,
    /// Times that an instrument at rest was looked at afresh, because all that could be seen of it had not sufficed.
    pub looked_afresh: u64,
    /// Calls that OpenCV refused.
    pub opencv_failures: u64,
}
