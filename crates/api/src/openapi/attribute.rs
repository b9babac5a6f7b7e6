//! What a table says of one attribute, and of one resource.

use octavia_store::Resource as Keys;

/// One attribute of a resource, as requests and answers have it.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// In the body of a create.
    pub(super) create: In,
    /// In an element of a load balancer that is created with all its children.
    pub(super) nested: In,
    /// In the body of an update.
    pub(super) update: In,
    pub(super) answer: Out,
    /// The minor version of the original's API that brought it: 5 is v2.5.
    pub(super) since: u8,
    /// One sentence, in Markdown.
    pub(super) text: &'static str,
}

/// Whether a request may, must or must not have an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum In {
    /// Refused as unknown.
    No,
    /// Has to be there, not null.
    Must,
    /// May be there, also as null.
    May,
    /// May be there, but not as null.
    Set,
}

/// Whether an answer has an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    No,
    Yes,
    /// Always there, perhaps null.
    Null,
    /// Left out when there is nothing to say.
    Some,
    /// Not in the tree that a create of a whole load balancer answers.
    Flat,
    /// As `Flat`, and left out when there is none.
    FlatSome,
    /// In that tree alone, null when there is none.
    Tree,
}

/// The values of an attribute. Bounds are those of requests.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Uuid,
    /// Any text of at most so many characters.
    Text(usize),
    /// Text of so many characters that matches a pattern of JSON Schema's dialect.
    Pattern(usize, &'static str),
    Flag,
    /// Whole numbers, both ends included.
    Integer(i64, i64),
    /// One of the numbers.
    OneOf(&'static [i64]),
    /// `1.0` or `1.1`.
    HttpVersion,
    Word(&'static [&'static str]),
    /// A list of the words.
    Words(&'static [&'static str]),
    Address,
    Cidrs,
    /// UTC, without a zone.
    Time,
    /// A list of texts of at most so many characters each.
    Texts(usize),
    Uuids,
    /// An object of texts of at most so many characters each.
    Map(usize),
    Object(&'static [Attribute]),
    Objects(&'static [Attribute]),
    /// Objects named by their ids alone.
    Refs,
    /// Another resource: the name of its schema.
    Child(&'static str),
    /// Several of another resource: whole in requests and in the tree, else by their ids.
    Children(&'static str),
}

/// What filters and sorts a list.
#[derive(Debug, Clone, Copy)]
pub(super) enum Filters {
    /// The keys the store has columns for.
    Stored(Keys),
    /// None, but pages.
    Nothing,
    /// Only `name` and `description`, and no pages.
    Words,
    /// `project_id`, and pages.
    Project,
}

/// One kind of object of the API.
#[derive(Debug)]
pub(super) struct Resource {
    /// Of its schemas: `Listener`, `ListenerCreate`, …
    pub(super) schema: &'static str,
    /// In sentences: `listener`, `L7 policy`.
    pub(super) noun: &'static str,
    pub(super) plural: &'static str,
    /// Of its page in `docs/resources`.
    pub(super) page: &'static str,
    /// Under which the body of one object is.
    pub(super) root: &'static str,
    /// Under which a list is.
    pub(super) list: &'static str,
    /// Under which the links of a list's pages are; `None` = it has no pages.
    pub(super) links: Option<&'static str>,
    pub(super) filters: Filters,
    pub(super) attributes: &'static [Attribute],
    /// A create has to have one of these.
    pub(super) one_of: &'static [&'static str],
    /// What it is, in a few sentences of Markdown.
    pub(super) about: &'static str,
    /// What it is for, and a command that does it.
    pub(super) examples: &'static [(&'static str, &'static str)],
}

impl Resource {
    /// The API names of the keys that filter its list.
    pub(super) fn filter_keys(&self) -> Vec<&'static str> {
        match self.filters {
            Filters::Stored(keys) => keys.keys().collect(),
            Filters::Nothing => vec![],
            Filters::Words => vec!["name", "description"],
            Filters::Project => vec!["project_id"],
        }
    }

    /// The API names of the keys that sort its list.
    pub(super) fn sort_keys(&self) -> Vec<&'static str> {
        match self.filters {
            Filters::Stored(keys) => keys.sort_keys().collect(),
            Filters::Nothing | Filters::Words => vec![],
            Filters::Project => Keys::Quota.sort_keys().collect(),
        }
    }

    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|known| known.name == attribute)
    }

    pub(super) fn is_created(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.create != In::No)
    }

    pub(super) fn is_updated(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.update != In::No)
    }

    pub(super) fn is_nested(&self) -> bool {
        self.attributes.iter().any(|attribute| attribute.nested != In::No)
    }
}

/// Rows of `name, kind, create, nested, update, answer, since, sentence`.
macro_rules! attributes {
    ($($name:literal, $kind:expr, $create:ident $nested:ident $update:ident $answer:ident, $since:literal,
       $text:expr;)+) => {{
        #[allow(unused_imports)]
        use $crate::openapi::attribute::{Attribute, In, Kind::*, Out};
        const ROWS: &[Attribute] = &[$(Attribute {
            name: $name,
            kind: $kind,
            create: In::$create,
            nested: In::$nested,
            update: In::$update,
            answer: Out::$answer,
            since: $since,
            text: $text,
        }),+];
        ROWS
    }};
}

pub(super) use attributes;
