# sh check.sh FOLDER: says which lines of the audit log aren't as they were written.
before=''
# By their numbers: a clock may have been set back.
for number in $(ls "$1" | sed -n 's/^audit-.*-\([0-9]*\)\.jsonl$/\1/p' | sort -n); do
    file=$(echo "$1"/audit-*-"$number".jsonl)
    line_number=0
    while IFS= read -r line; do
        line_number=$((line_number + 1))
        text=${line%',"sha256":"'*}
        digits=${line##*',"sha256":"'} digits=${digits%'"}'}
        if [ "$line_number" = 1 ]; then
            said=${text##*'"before":'} said=${said#'"'} said=${said%'"'}
            [ "$said" != null ] || said=''
            [ "$said" = "$before" ] || [ -z "$before" ] || echo "$file doesn't follow on the file before"
            before=$said
        fi
        made=$(printf '%s%s' "$before" "$text" | sha256sum | cut -d ' ' -f 1)
        [ "$made" = "$digits" ] || echo "$file, line $line_number isn't as it was written"
        before=$digits
    done < "$file"
done
