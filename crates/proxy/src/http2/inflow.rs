//! What the other side may send before it is read (RFC 9113 §5.2): one window a stream, and one for all.

#[derive(Debug)]
pub(super) struct Inflow {
    /// How large the window is when nothing is here.
    size: u32,
    /// What may still come.
    left: u32,
    /// Read, and not yet given back.
    owed: u32,
}

impl Inflow {
    pub(super) fn new(size: u32) -> Self {
        Self { size, left: size, owed: 0 }
    }

    /// Takes note of bytes that came; `false` = more than may come.
    pub(super) fn take(&mut self, bytes: u32) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    /// Takes note of bytes that were read. When it is worth a frame, says by how much the window grows.
    pub(super) fn give_back(&mut self, bytes: u32) -> Option<u32> {
        self.owed += bytes;
        if self.owed < self.size / 4 {
            return None;
        }
        let owed = std::mem::take(&mut self.owed);
        self.left += owed;
        Some(owed)
    }
}
