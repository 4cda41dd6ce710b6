//! What of a kind breaks those who used a former one.

use serde_json::Value;

use super::schema;

/// Says what of a former kind today's lacks or refuses. Both are the whole definition.
pub fn breaking(former: &Value, today: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let spec = |path: &str| (former.pointer(path).cloned(), today.pointer(path).cloned());
    for path in ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural", "/spec/names/singular"] {
        let (before, now) = spec(path);
        if before != now {
            let word = |value: Option<Value>| value.map_or_else(|| "not there".to_owned(), |value| value.to_string());
            found.push(format!("{} was {} and is {}", &path[1..].replace('/', "."), word(before), word(now)));
        }
    }
    for (path, what) in [("/spec/names/shortNames", "short name"), ("/spec/names/categories", "category")] {
        let (before, now) = spec(path);
        found.extend(gone(before.as_ref(), now.as_ref(), "").map(|name| format!("{what} {name} is gone")));
    }
    if storage(former) != storage(today) {
        found.push(format!(
            "objects are stored as {} and would be as {}, which the former kind does not know",
            storage(former),
            storage(today)
        ));
    }
    for before in versions(former).iter().filter(|version| version["served"] == true) {
        let name = before["name"].as_str().unwrap_or_default();
        match versions(today).iter().find(|version| version["name"] == before["name"] && version["served"] == true) {
            Some(now) => found.extend(version(before, now)),
            None => found.push(format!("version {name} is not served any more")),
        }
    }
    found
}

fn version(former: &Value, today: &Value) -> Vec<String> {
    let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
    let mut found = schema::breaking("", &schema(former), &schema(today));
    for line in &mut found {
        // The root's fields begin with a dot; what is said of the root itself with nothing.
        *line = line.strip_prefix('.').map_or_else(|| format!("the object{line}"), str::to_owned);
    }
    for name in ["status", "scale"] {
        let (before, now) = (&former["subresources"][name], &today["subresources"][name]);
        if !before.is_null() && before != now {
            found.push(format!("subresource {name} is gone or leads elsewhere"));
        }
    }
    for (list, key, what) in
        [("additionalPrinterColumns", "/name", "printer column"), ("selectableFields", "/jsonPath", "selectable field")]
    {
        let names = gone(former.get(list), today.get(list), key);
        found.extend(names.map(|name| format!("{what} {name} is gone")));
    }
    found
}

/// What of a former list today's lacks, by the name at the pointer `of`.
fn gone<'a>(former: Option<&'a Value>, today: Option<&'a Value>, of: &'a str) -> impl Iterator<Item = &'a Value> {
    let entries = |list: Option<&'a Value>| list.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let names = move |list| entries(list).iter().filter_map(move |entry| entry.pointer(of));
    let now: Vec<&Value> = names(today).collect();
    names(former).filter(move |name| !now.contains(name))
}

fn versions(kind: &Value) -> &[Value] {
    kind["spec"]["versions"].as_array().map_or(&[], Vec::as_slice)
}

fn storage(kind: &Value) -> &str {
    versions(kind)
        .iter()
        .find(|version| version["storage"] == true)
        .and_then(|version| version["name"].as_str())
        .unwrap_or("nothing")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind() -> Value {
        json!({ "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": { "kind": "Thing", "plural": "things", "singular": "thing", "shortNames": ["th"], "categories": ["all"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": { "a": { "type": "string" } } } } } },
                "subresources": { "status": {}, "scale": { "specReplicasPath": ".spec.replicas" } },
                "additionalPrinterColumns": [{ "name": "A", "jsonPath": ".spec.a", "type": "string" }],
                "selectableFields": [{ "jsonPath": ".spec.a" }],
            }],
        }})
    }

    #[test]
    fn what_breaks_is_named() {
        let rows = [
            ("/spec/group", json!("example.com"), "spec.group was \"example.org\" and is \"example.com\""),
            ("/spec/scope", json!("Cluster"), "spec.scope was \"Namespaced\" and is \"Cluster\""),
            ("/spec/names/shortNames", json!(["thing"]), "short name \"th\" is gone"),
            ("/spec/names/categories", json!([]), "category \"all\" is gone"),
            ("/spec/versions/0/served", json!(false), "version v1 is not served any more"),
            (
                "/spec/versions/0/subresources",
                json!({ "scale": { "specReplicasPath": ".spec.replicas" } }),
                "subresource status is gone or leads elsewhere",
            ),
            (
                "/spec/versions/0/subresources/scale/specReplicasPath",
                json!(".spec.count"),
                "subresource scale is gone or leads elsewhere",
            ),
            ("/spec/versions/0/additionalPrinterColumns/0/name", json!("B"), "printer column \"A\" is gone"),
            ("/spec/versions/0/selectableFields", json!([]), "selectable field \".spec.a\" is gone"),
            (
                "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties",
                json!({}),
                "spec.a is gone: what objects hold there would be dropped",
            ),
            (
                "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/a/type",
                json!("integer"),
                "spec.a was of type string and is of type integer",
            ),
            ("/spec/versions/0/schema/openAPIV3Schema/required", json!(["spec"]), "spec is required now"),
            (
                "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations",
                json!([{ "rule": "self.metadata.name != 'x'" }]),
                "the object has a new rule for objects that are older than it, too: self.metadata.name != 'x'",
            ),
        ];
        for (path, value, told) in rows {
            let mut today = kind();
            let (parent, key) = path.rsplit_once('/').unwrap();
            today.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(breaking(&kind(), &today), [told], "{path}");
        }
    }

    #[test]
    fn another_storage_version_cannot_be_rolled_back() {
        let mut today = kind();
        let mut second = today["spec"]["versions"][0].clone();
        second["name"] = json!("v2");
        today["spec"]["versions"][0]["storage"] = json!(false);
        today["spec"]["versions"].as_array_mut().unwrap().push(second);
        let told = "objects are stored as v1 and would be as v2, which the former kind does not know";
        assert_eq!(breaking(&kind(), &today), [told]);
        // A second version that is only served breaks nothing.
        today["spec"]["versions"][0]["storage"] = json!(true);
        today["spec"]["versions"][1]["storage"] = json!(false);
        assert_eq!(breaking(&kind(), &today), [""; 0]);
    }

    #[test]
    fn more_columns_and_fields_break_nothing() {
        let mut today = kind();
        today["spec"]["versions"][0]["additionalPrinterColumns"].as_array_mut().unwrap().push(json!({ "name": "B" }));
        today["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["b"] =
            json!({ "type": "string", "maxLength": 3 });
        today["spec"]["names"]["shortNames"] = json!(["th", "thg"]);
        assert_eq!(breaking(&kind(), &today), [""; 0]);
    }
}
