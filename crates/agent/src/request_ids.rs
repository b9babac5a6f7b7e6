//! For which requests a controller says that it pushes a spec: only ever logged.

use hyper::HeaderMap;
use octavia_model::{REQUEST_ID_HEADER, REQUEST_IDS_MAX, is_request_id};

/// Ids of requests, separated by blanks; `None` = of none that is known.
pub(crate) type RequestIds = Option<String>;

/// The ids in a request's headers, the first few. What is none is not there: it could be made to look like other lines
/// of a log.
pub(crate) fn request_ids(headers: &HeaderMap) -> RequestIds {
    let texts = headers.get_all(REQUEST_ID_HEADER).iter().filter_map(|value| value.to_str().ok());
    // Whoever stands between may have made one header of several (RFC 9110, 5.3).
    let words = texts.flat_map(|text| text.split(',')).map(str::trim_ascii);
    let ids: Vec<_> = words.filter(|word| is_request_id(word)).take(REQUEST_IDS_MAX).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn id(number: usize) -> String {
        format!("req-00000000-0000-4000-8000-{number:012}")
    }

    #[test]
    fn what_is_taken() {
        let (one, two) = (id(1), id(2));
        let many: Vec<_> = (0..20).map(id).collect();
        let check = |values: &[&str], expected: Option<String>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REQUEST_ID_HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(request_ids(&headers), expected, "{headers:?}");
        };
        check(&[], None);
        check(&[""], None);
        check(&[&one], Some(one.clone()));
        check(&[&one, &two], Some(format!("{one} {two}")));
        check(&[&format!("{one} ,{two},")], Some(format!("{one} {two}")));
        check(&[&format!("{one} generation=9"), &two], Some(two.clone()));
        check(&["req-\u{e9}", "nonsense", &one], Some(one.clone()));
        check(&[&"x".repeat(9999), &format!("{one}{one}")], None);
        let first = many[..REQUEST_IDS_MAX].join(" ");
        check(&many.iter().map(String::as_str).collect::<Vec<_>>(), Some(first.clone()));
        check(&[&many.join(",")], Some(first));
    }
}
