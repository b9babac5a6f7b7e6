//! Which pages of a process can be given back because a file has them: the pure part of being small.

use std::ops::Range;

/// Addresses of mappings in `/proc/PID/smaps` (proc(5)) that come from a file, cannot be written, and have no page
/// that differs from the file: program text and constants.
pub fn clean_mappings(smaps: &str) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut candidate = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            candidate = mapping;
        } else if let Some(anonymous) = line.strip_prefix("Anonymous:")
            && let Some(range) = candidate.take()
            && anonymous.trim() == "0 kB"
        {
            found.push(range);
        }
    }
    found
}

/// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`: `None` = another line, `Some(None)` = a mapping of no interest.
fn mapping(line: &str) -> Option<Option<Range<usize>>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let permissions = fields.next()?;
    let of_file = fields.nth(2)? != "0" && fields.next().is_some_and(|path| path.starts_with('/'));
    let fits = of_file && start < end && permissions.starts_with("r-") && permissions.ends_with('p');
    Some(fits.then_some(start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_file_has_is_clean() {
        let smaps = "\
1000-3000 r--p 00000000 fe:00 42 /usr/bin/octavia
Size:                  8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
3000-5000 r-xp 00002000 fe:00 42 /usr/bin/octavia
Anonymous:             0 kB
5000-6000 r--p 00004000 fe:00 42 /usr/bin/octavia
Anonymous:             4 kB
6000-7000 rw-p 00005000 fe:00 42 /usr/bin/octavia
Anonymous:             0 kB
7000-8000 r--s 00000000 fe:00 43 /shared
Anonymous:             0 kB
8000-9000 r--p 00000000 00:00 0
Anonymous:             0 kB
9000-a000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
b000-a000 r-xp 00000000 fe:00 42 /backwards
Anonymous:             0 kB
c000-d000 r-xp 00000000 fe:00 42 /usr/bin/with a blank (deleted)
Anonymous:             0 kB
Anonymous:             0 kB
e000-f000 r-xp 00000000 fe:00 42 /cut short
";
        assert_eq!(clean_mappings(smaps), [0x1000..0x3000, 0x3000..0x5000, 0xc000..0xd000]);
        assert!(clean_mappings("").is_empty());
        assert!(clean_mappings("-\nx-y\n1-2\nAnonymous: 0 kB").is_empty());
    }

    #[test]
    fn this_program_has_some() {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let here = only_what_the_file_has_is_clean as fn() as usize;
        assert!(clean_mappings(&smaps).iter().any(|range| range.contains(&here)));
    }
}
