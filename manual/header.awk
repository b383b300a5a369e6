# Reads manual/groups and include/bytefd.h. What is found, by name: kind, declaration and comment of everything, in the order of
# names[]; members of structs; long and short names; the first comment (top), and the last one (tail).

function fail(text) {
    print "manual: " text > "/dev/stderr"
    failed = 1
    exit 1
}

function note(name, what, declared) {
    if (name in kind)
        return
    kind[name] = what
    declaration[name] = declared
    comment[name] = pending
    names[++name_count] = name
    pending = ""
}

# A declaration without what tells the compiler more than the reader.
function declared(text) {
    gsub(/BYTEFD_(MUST_USE|NONNULL) ?/, "", text)
    gsub(/ ?BYTEFD_(READS|WRITES)\([^)]*\)/, "", text)
    gsub(/struct bytefd_/, "bytefd_", text)
    gsub(/[ \n]+/, " ", text)
    gsub(/\( /, "(", text)
    sub(/^ /, "", text)
    return text
}

FILENAME ~ /groups$/ {
    if ($0 !~ /^#/ && NF > 0) {
        split($0, cells, / *\| */)
        pages[++page_count] = cells[1]
        about[cells[1]] = cells[2]
        others[cells[1]] = cells[4]
        count = split(cells[3], parts, " ")
        for (i = 1; i <= count; i++)
            wanted[parts[i]] = cells[1]
    }
    next
}

# Inside of a comment.
in_comment {
    if ($0 ~ /\*\/ *$/) {
        in_comment = 0
        sub(/ *\*\/ *$/, "")
    }
    sub(/^ *\* ?/, "")
    pending = pending (pending == "" ? "" : "\n") $0
    if (!in_comment) {
        sub(/\n+$/, "", pending)
        if (top == "")
            top = pending
        tail = pending
        if (in_struct == "")
            next
        member_text = pending
    }
    next
}
/^ *\/\*/ {
    pending = ""
    text = $0
    if (text ~ /\*\/ *$/) {
        sub(/^ *\/\*+ */, "", text)
        sub(/ *\*\/ *$/, "", text)
        pending = text
    } else {
        in_comment = 1
    }
    next
}

# Inside of a struct: a member, with the comment before it.
in_struct != "" {
    body = body "\n" $0
    if ($0 ~ /^}/) {
        pending = struct_comment
        note(in_struct, "struct", declared_struct(body))
        in_struct = ""
    } else if ($0 ~ /;/) {
        member = $0
        sub(/(\[.*)?;.*/, "", member)
        sub(/.*[ *]/, "", member)
        members[in_struct] = members[in_struct] " " member
        comment[in_struct "." member] = member_text
    }
    next
}
function declared_struct(text) {
    gsub(/struct bytefd_/, "bytefd_", text)
    sub(/^typedef bytefd_[a-z_]+/, "typedef struct", text)
    return text
}

/^#define / {
    line = $0
    while (line ~ /\\$/) {
        sub(/ *\\$/, "", line)
        getline rest
        line = line rest
    }
    name = line
    sub(/^#define /, "", name)
    sub(/[ (].*/, "", name)
    # A macro that has no comment belongs to the one before it.
    if (pending == "" && name ~ /_INIT$|_VERSION_|_VERSION$|_WRITES$/)
        pending = last_comment
    last_comment = pending
    if (pending != "" && line ~ /^#define [A-Z_]+(\(| |$)/)
        note(name, "macro", line)
    next
}
/^#/ || /^extern/ || /^}/ || /^ *$/ { if ($0 ~ /^#pragma/) pending = ""; next }

/^typedef struct [a-z_]+ \{/ {
    in_struct = $3
    struct_comment = pending
    body = $0
    next
}
# The inline functions with short names.
/^static inline/ {
    short = $0
    sub(/\(.*/, "", short)
    sub(/.*[ *]/, "", short)
    is_inline = 1
    pending = ""
    next
}
is_inline {
    if (match($0, /return bytefd_[a-z_]+/)) {
        long_name[short] = substr($0, RSTART + 7, RLENGTH - 7)
        short_name[long_name[short]] = short
        is_inline = 0
    }
    next
}
/^[A-Za-z]/ || parts_of != "" {
    parts_of = parts_of (parts_of == "" ? "" : " ") $0
    if ($0 !~ /;/)
        next
    name = text = declared(parts_of)
    parts_of = ""
    if (text ~ /^typedef bytefd_[a-z_]+ bytefd_[a-z_]+;/) {
        sub(/;.*/, "", name)
        sub(/.* /, "", name)
        note(name, "handle", text)
    } else if (text ~ /^typedef/) {
        sub(/.*\(\*/, "", name)
        sub(/\).*/, "", name)
        note(name, "callback", text)
    } else {
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        note(name, "function", text)
    }
    next
}
