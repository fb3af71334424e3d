# sh check.sh ID.chain ID.wav: says which lines and blocks aren't as they were written.
before='' at=44 line_number=0
while IFS= read -r line; do
    line_number=$((line_number + 1))
    text=${line%',"sha256":"'*}
    digits=${line##*',"sha256":"'} digits=${digits%'"}'}
    made=$(printf '%s%s' "$before" "$text" | sha256sum | cut -d ' ' -f 1)
    [ "$made" = "$digits" ] || echo "line $line_number isn't as it was written"
    before=$digits
    case $text in *',"audio":"'????????????????????????????????????????????????????????????????'"' | *',"audio":"silence"') ;; *) continue ;; esac
    bytes=${text#*'"bytes":'} bytes=${bytes%%,*}
    audio=${text##*',"audio":"'} audio=${audio%'"'}
    [ "$audio" != silence ] || audio=$(head -c "$bytes" /dev/zero | sha256sum | cut -d ' ' -f 1)
    made=$(tail -c +$((at + 1)) "$2" | head -c "$bytes" | sha256sum | cut -d ' ' -f 1)
    [ "$made" = "$audio" ] || echo "the audio of line $line_number isn't as it was written"
    at=$((at + bytes))
done < "$1"
