//! What tempest's lines say of each test.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many tests passed, which failed, and which were skipped why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) passed: usize,
    pub(crate) failed: Vec<String>,
    /// Reason → tests.
    pub(crate) skipped: BTreeMap<String, Vec<String>>,
}

impl Verdict {
    /// Reads lines such as `{0} package.Class.test [0.12s] ... ok`; others are not looked at.
    pub(crate) fn read(output: &str) -> Self {
        let mut verdict = Self::default();
        for line in output.lines() {
            let Some((test, outcome)) = line.split_once(" ... ") else { continue };
            let Some(name) = test.strip_prefix('{').and_then(|test| test.split_once("} ")) else { continue };
            let name = name.1.split(" [").next().unwrap_or_default().trim().to_owned();
            match outcome.trim() {
                "ok" => verdict.passed += 1,
                "FAILED" => verdict.failed.push(name),
                other => {
                    if let Some(reason) = other.strip_prefix("SKIPPED") {
                        let reason = reason.trim_start_matches(':').trim().to_owned();
                        verdict.skipped.entry(reason).or_default().push(name);
                    }
                }
            }
        }
        verdict.failed.sort_unstable();
        verdict.failed.dedup();
        verdict
    }

    pub(crate) fn skips(&self) -> usize {
        self.skipped.values().map(Vec::len).sum()
    }

    /// The skips as a page of documentation.
    pub(crate) fn page(&self) -> String {
        let mut page = String::from(
            "# What tempest says\n\n\
             `cargo xtask conformance tempest` installs tempest and octavia-tempest-plugin, at the versions of\n\
             `xtask/tempest-requirements.txt`, into `target/venv-tempest`, starts `octavia all-in-one --network noop` with its\n\
             embedded Keystone, and runs every test of `octavia_tempest_plugin.tests.api` against it. `--binary` takes a\n\
             program that is built already, `--regex` only some tests, `--roles advanced` the roles of load balancing in\n\
             place of Keystone's own, `--write` writes this page. All that tempest says goes into `target/tempest.log`.\n\n\
             On that network every network, subnet, port and certificate exists, and nothing carries traffic: what the\n\
             original does with its `noop` drivers, with which it is tested like this.\n\n",
        );
        let _ = writeln!(
            page,
            "{} passed, {} failed, {} skipped.\n\n## Skipped, and why\n",
            self.passed,
            self.failed.len(),
            self.skips()
        );
        page.push_str("| reason the test gives | what is behind it | tests |\n|---|---|---|\n");
        for (reason, tests) in &self.skipped {
            let mut names: Vec<&str> =
                tests.iter().map(|test| test.rsplit("v2.").next().unwrap_or(test)).collect();
            names.sort_unstable();
            let _ = writeln!(page, "| {reason} | {} | {} |", behind(reason), names.join("<br>"));
        }
        page.push_str(
            "\nThe original, run in the same way, skips all of these too: 489 passed, 143 skipped. The 113 others are tests of\n\
             SOURCE_IP_PORT, which its `amphora` provider refuses; here they run.\n",
        );
        if !self.failed.is_empty() {
            page.push_str("\n## Failed\n\n");
            for test in &self.failed {
                let _ = writeln!(page, "- {test}");
            }
        }
        page
    }
}

/// Known skips, each by words of its reason, and why the test is not run against anybody.
const BEHIND: &[(&str, &str)] = &[
    ("Log offload", "it looks at the log of a real amphora; here none runs"),
    ("bugs/2045803", "switched off in the test itself: a bug of the original"),
    (
        "story/2003329",
        "switched off in the test itself for the provider amphora: the original cannot mix IP versions in UDP pools",
    ),
];

fn behind(reason: &str) -> &'static str {
    BEHIND.iter().find(|(words, _)| reason.contains(words)).map_or("not known: look at it", |(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_outcomes() {
        let output = "\
{0} a.tests.api.v2.test_pool.PoolAPITest.test_one [0.122s] ... ok
{1} a.tests.api.v2.test_pool.PoolAPITest.test_two [1.1s] ... FAILED
{1} setUpClass (a.tests.api.v2.test_x.X) [0.000000s] ... FAILED
{0} a.tests.api.v2.test_pool.PoolAPITest.test_three ... SKIPPED: Needs a bug: #!/story/1 mended.
{0} a.tests.api.v2.test_pool.PoolAPITest.test_four ... SKIPPED: Until #!/story/2003329 is resolved.
Captured traceback: x ... ok
 - Passed: 45
";
        let verdict = Verdict::read(output);
        assert_eq!(verdict.passed, 1);
        assert_eq!(verdict.failed.len(), 2);
        assert_eq!(verdict.skips(), 2);
        assert_eq!(verdict.skipped.keys().next().unwrap(), "Needs a bug: #!/story/1 mended.");
        let page = verdict.page();
        assert!(page.contains("1 passed, 2 failed, 2 skipped."), "{page}");
        assert!(page.contains("| not known: look at it | test_pool.PoolAPITest.test_three |"), "{page}");
        assert!(page.contains("in UDP pools | test_pool.PoolAPITest.test_four |"), "{page}");
    }
}
