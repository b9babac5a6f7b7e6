use clap::{Args, Subcommand};

use super::{Switches, Wait, upper};

#[derive(Debug, Subcommand)]
pub enum L7RuleCommand {
    /// Add a rule to an L7 policy
    Create(L7RuleCreate),
    /// List an L7 policy's rules
    List {
        /// L7 policy (name or id)
        #[arg(value_name = "L7POLICY")]
        policy: String,
        /// Only those with this tag; repeat for more, all must be there
        #[arg(long = "tag", value_name = "TAG")]
        tags: Vec<String>,
    },
    /// Show one
    Show {
        /// L7 policy (name or id)
        #[arg(value_name = "L7POLICY")]
        policy: String,
        /// Id
        #[arg(value_name = "L7RULE")]
        rule: String,
    },
    /// Change attributes
    Set(L7RuleSet),
    /// Put attributes back to their defaults
    Unset(L7RuleUnset),
    /// Delete one or more
    Delete {
        /// L7 policy (name or id)
        #[arg(value_name = "L7POLICY")]
        policy: String,
        /// Ids
        #[arg(value_name = "L7RULE", required = true)]
        rules: Vec<String>,
        #[command(flatten)]
        wait: Wait,
    },
}

/// What `l7rule create` and `l7rule set` share.
#[derive(Debug, Args)]
pub(crate) struct L7RuleAttributes {
    #[command(flatten)]
    pub(crate) switches: Switches,
    /// The header, cookie or field of the distinguished name to look at
    #[arg(long, value_name = "NAME")]
    pub(crate) key: Option<String>,
    /// Match what it would not match
    #[arg(long)]
    pub(crate) invert: bool,
}

#[derive(Debug, Args)]
pub struct L7RuleCreate {
    /// L7 policy (name or id)
    #[arg(value_name = "L7POLICY")]
    pub(crate) policy: String,
    /// HOST_NAME, PATH, FILE_TYPE, HEADER, COOKIE, …
    #[arg(long = "type", value_name = "WORD", value_parser = upper)]
    pub(crate) kind: String,
    /// EQUAL_TO, STARTS_WITH, ENDS_WITH, CONTAINS or REGEX
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) compare_type: String,
    /// What to compare with
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) attributes: L7RuleAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct L7RuleSet {
    /// L7 policy (name or id)
    #[arg(value_name = "L7POLICY")]
    pub(crate) policy: String,
    /// Id
    #[arg(value_name = "L7RULE")]
    pub(crate) rule: String,
    /// HOST_NAME, PATH, FILE_TYPE, HEADER, COOKIE, …
    #[arg(long = "type", value_name = "WORD", value_parser = upper)]
    pub(crate) kind: Option<String>,
    /// EQUAL_TO, STARTS_WITH, ENDS_WITH, CONTAINS or REGEX
    #[arg(long, value_name = "WORD", value_parser = upper)]
    pub(crate) compare_type: Option<String>,
    /// What to compare with
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) value: Option<String>,
    #[command(flatten)]
    pub(crate) attributes: L7RuleAttributes,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, Args)]
pub struct L7RuleUnset {
    /// L7 policy (name or id)
    #[arg(value_name = "L7POLICY")]
    pub(crate) policy: String,
    /// Id
    #[arg(value_name = "L7RULE")]
    pub(crate) rule: String,
    /// Match what it matches
    #[arg(long)]
    pub(crate) invert: bool,
    /// No key
    #[arg(long)]
    pub(crate) key: bool,
    #[command(flatten)]
    pub(crate) wait: Wait,
}
