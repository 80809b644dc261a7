# Sourced by the scripts that make small images FROM scratch out of programs of this machine.

# Copies programs and what their loader loads into a folder, under the same names.
pack() {
    local root=$1 program file
    shift
    for program in "$@"; do
        program=$(realpath "$(command -v "$program" || echo "/usr/sbin/$program")")
        ldd "$program" | grep -oE '/[^ ]+' | while read -r file; do
            install -D -m 755 "$(realpath "$file")" "$root$file"
        done
        install -D -m 755 "$program" "$root/usr/bin/$(basename "$program")"
    done
    # No one logs in; some programs look up who they are. tmp is mounted over.
    mkdir -p "$root/etc" "$root/tmp"
    printf 'root:x:0:0::/:/none\nuser:x:1000:1000::/data:/none\n' >"$root/etc/passwd"
    printf 'root:x:0:\nuser:x:1000:\n' >"$root/etc/group"
}

# Makes an image of a folder and removes the folder: everything root's and readable, with the time EPOCH.
import_image() {
    local root=$1 name=$2 changes=() change
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    tar --create --directory "$root" --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX . |
        docker import "${changes[@]}" - "$name" >/dev/null
    rm -rf "$root"
    echo "made $name" >&2
}
