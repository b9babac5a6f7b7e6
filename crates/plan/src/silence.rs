//! Whose fault silence is.

/// Fewer than this many silent amphorae are believed to be dead, whatever share of all they are.
const FEW: usize = 3;

/// Whether so many amphorae are silent at once that the controller itself is the sick one: cut off, starved, or
/// listening at the wrong address. Then nobody is replaced for being silent.
pub const fn own_fault(silent: usize, heard: usize) -> bool {
    silent >= FEW && silent > heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_several() {
        for (silent, heard, ours) in [
            (0, 0, false),
            (1, 0, false),
            (2, 0, false),
            (3, 0, true),
            (3, 2, true),
            (3, 3, false),
            (10, 100, false),
            (51, 49, true),
            (50, 50, false),
        ] {
            assert_eq!(own_fault(silent, heard), ours, "{silent} silent, {heard} heard");
        }
    }
}
