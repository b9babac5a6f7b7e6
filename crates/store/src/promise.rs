//! Promises that the store can be made to break, to see whether the simulator notices.

/// What a worker can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Writes of a worker whose lease was lost change nothing.
    Fence,
    /// Nobody takes a lease that another one still holds.
    Lease,
}

#[cfg(not(feature = "breakable"))]
impl Promise {
    pub(crate) const fn is_kept(self) -> bool {
        true
    }
}

#[cfg(feature = "breakable")]
mod breakable {
    use std::sync::OnceLock;

    use super::Promise;

    static BROKEN: OnceLock<Promise> = OnceLock::new();

    impl Promise {
        /// From now on every store of this process breaks it.
        ///
        /// # Panics
        /// When another one is broken already: what is noticed then might be that.
        pub fn break_for_good(self) {
            assert_eq!(*BROKEN.get_or_init(|| self), self, "a process breaks one promise");
        }

        pub(crate) fn is_kept(self) -> bool {
            BROKEN.get() != Some(&self)
        }
    }
}
