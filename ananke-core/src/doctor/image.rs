//! Names of images, which leave out much: `nginx` is `docker.io/library/nginx:latest`.

/// The registry that serves an image, with its port.
pub(super) fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        Some(_) | None => "docker.io",
    }
}

/// With everything that goes without saying.
pub fn full(image: &str) -> String {
    let registry = registry(image);
    let rest = image.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(image);
    let library = if registry == "docker.io" && !rest.contains('/') { "library/" } else { "" };
    let last = rest.rsplit('/').next().unwrap_or(rest);
    let tag = if last.contains([':', '@']) { "" } else { ":latest" };
    format!("{registry}/{library}{rest}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_without_saying_is_added() {
        for (image, expected) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("docker.io/library/nginx:latest", "docker.io/library/nginx:latest"),
            ("goharbor/harbor-core:v2.12", "docker.io/goharbor/harbor-core:v2.12"),
            ("registry:5000/app", "registry:5000/app:latest"),
            ("localhost/app@sha256:00", "localhost/app@sha256:00"),
            ("harbor.titan.example/gitea/gitea:1.24", "harbor.titan.example/gitea/gitea:1.24"),
        ] {
            assert_eq!(full(image), expected);
        }
        assert_eq!(registry("registry:5000/app"), "registry:5000");
        assert_eq!(registry("goharbor/harbor-core"), "docker.io");
    }
}
