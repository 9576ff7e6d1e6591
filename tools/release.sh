#!/bin/sh
# make release: builds the sdist and the wheel of what is committed into dist/, and checks both.
# Publishing is left to whoever runs it: twine upload dist/*
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "make release: $*" >&2
    exit 1
}

names() {
    "$work/tools/bin/python" -m zipfile --list "$1" | awk 'NR > 1 { print $1 }' | sort
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' src/vipl/_version.py)
grep -q "^## $version (" CHANGELOG.md || fail "CHANGELOG.md has no entry for $version"
grep -q "^version: $version$" CITATION.cff || fail "CITATION.cff is not of version $version"
[ -z "$(git status --porcelain)" ] || fail "the working tree is not clean: commit first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${PYTHON:-python3} -m venv "$work/tools"
"$work/tools/bin/pip" install -q "build>=1.2" "twine>=6"
git archive --prefix=source/ HEAD | tar -x -C "$work"
"$work/tools/bin/python" -m build -o "$work/dist" "$work/source" > "$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log" >&2; fail "it does not build"; }
"$work/tools/bin/python" -m build --wheel -o "$work/direct" "$work/source" > "$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log" >&2; fail "the wheel does not build without the sdist"; }
[ "$(names "$work"/dist/*.whl)" = "$(names "$work"/direct/*.whl)" ] ||
    fail "the wheel of the sdist and the wheel of the source do not hold the same files"
"$work/tools/bin/twine" check --strict "$work"/dist/*
for part in LICENSE CITATION.cff tests/conftest.py configs/fit/folder.yaml data_manifests/README.md; do
    tar -tf "$work/dist/vipl-$version.tar.gz" | grep -q "^vipl-$version/$part$" ||
        fail "the sdist lacks $part"
done

# The wheel, in an environment of its own beside the dependencies of this one.
${PYTHON:-python3} -m venv "$work/user"
"$work/user/bin/pip" install -q --no-deps "$work/dist/vipl-$version-py3-none-any.whl"
"${VENV:-.venv}/bin/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])" \
    > "$(echo "$work"/user/lib/python3*/site-packages)/dependencies.pth"
cd "$work"
[ "$(user/bin/vipl --version)" = "vipl $version" ] || fail "vipl --version is not $version"
user/bin/vipl configs | grep -q "  folder " || fail "the configurations do not ship"
user/bin/vipl eval --list | grep -q "^frankakitchen (version" || fail "the suites do not ship"
cd - > /dev/null
mkdir -p dist
mv "$work"/dist/* dist/
echo "dist/vipl-$version.tar.gz and dist/vipl-$version-py3-none-any.whl are ready: twine upload dist/*"
