// The shell scripts that `gantry completion` prints. Each hands the words so far to `gantry
// __complete` and shows what comes back. The words are passed as they are: nothing that was typed
// is evaluated. In these texts "§{" is a shell's own "${", which TypeScript would take for its.

const shell = (text: TemplateStringsArray): string => text.raw.join("").replaceAll("§{", "$" + "{");

const BASH = shell`# bash completion for gantry
# Load it with:  source <(gantry completion bash)

# Joins what bash cut at : and = (COMP_WORDBREAKS), since a name such as web:1.2 is one word.
__gantry_words() {
  local rest=$COMP_LINE at=0 piece previous=""
  __gantry_words_out=()
  while (( at <= COMP_CWORD )); do
    piece=§{COMP_WORDS[at]}
    local glued=0
    if (( at > 0 )) && [[ $rest != [[:space:]]* ]]; then
      [[ $piece == [:=]* || $previous == *[:=] ]] && glued=1
    fi
    rest=§{rest#"§{rest%%[![:space:]]*}"}
    rest=§{rest#"$piece"}
    if (( glued )); then
      __gantry_words_out[-1]+=$piece
    else
      __gantry_words_out+=("$piece")
    fi
    previous=$piece
    at=$((at + 1))
  done
}

_gantry() {
  local -a __gantry_words_out words=() values=() abouts=()
  local word line directive=0 current stem value about
  __gantry_words
  for word in "§{__gantry_words_out[@]}"; do
    words+=("§{word//[\"\'\\]/}")
  done
  current=§{words[-1]}
  while IFS= read -r line; do
    if [[ $line == :+([0-9]) ]]; then
      directive=§{line#:}
    else
      values+=("§{line%%$'\t'*}")
      if [[ $line == *$'\t'* ]]; then abouts+=("§{line#*$'\t'}"); else abouts+=(""); fi
    fi
  done < <("§{words[0]/#\~/$HOME}" __complete "§{words[@]:1}" 2>/dev/null)
  # What readline takes for the word begins behind the last : or =.
  [[ $current == -*=* ]] && current=§{current#*=}
  stem=""
  case $current in
    *[:=]*) stem=§{current%"§{current##*[:=]}"} ;;
  esac
  COMPREPLY=()
  local at
  for at in "§{!values[@]}"; do
    value=§{values[at]}
    [[ $value == "$current"* ]] || continue
    about=§{abouts[at]}
    value=§{value#"$stem"}
    if (( COMP_TYPE == 63 )) && [[ -n $about ]]; then
      COMPREPLY+=("$value  ($about)")
    else
      COMPREPLY+=("$value")
    fi
  done
  # A list with descriptions is only shown; a single candidate is put into the line.
  if (( §{#COMPREPLY[@]} == 1 )); then
    COMPREPLY=("§{COMPREPLY[0]%%  (*}")
  fi
  (( directive & 2 )) && compopt -o nospace 2>/dev/null
  if (( §{#COMPREPLY[@]} == 0 )); then
    if (( directive & 16 )); then
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -d -- "$current"))
    elif (( (directive & 5) == 0 )); then
      compopt -o default 2>/dev/null
    fi
  fi
}
shopt -s extglob
complete -F _gantry gantry
`;

const ZSH = shell`#compdef gantry
# zsh completion for gantry
# Load it with:  source <(gantry completion zsh)   or put it into a folder of $fpath as _gantry

_gantry() {
  local -a lines items plain typed
  local line value about directive=0 current
  typed=("§{(@Q)words[1,CURRENT-1]}")
  current=§{(Q)PREFIX}
  lines=("§{(@f)$("§{typed[1]/#\~/$HOME}" __complete "§{(@)typed[2,-1]}" "$current" 2>/dev/null)}")
  [[ $current == -*=* ]] && compset -P '*='
  for line in $lines; do
    if [[ $line == :<-> ]]; then
      directive=§{line#:}
      continue
    fi
    [[ -n $line ]] || continue
    value=§{line%%$'\t'*}
    if [[ $line == *$'\t'* ]]; then
      about=§{line#*$'\t'}
      items+=("§{value//:/\\:}:$about")
    else
      items+=("§{value//:/\\:}")
    fi
  done
  local -a options
  (( directive & 2 )) && options+=(-S '')
  if (( §{#items} > 0 )); then
    _describe -t gantry 'completions' items $options && return 0
  fi
  if (( directive & 16 )); then
    _path_files -/
  elif (( (directive & 5) == 0 )); then
    _files
  else
    return 1
  fi
}

if [[ §{funcstack[1]} == _gantry ]]; then
  _gantry "$@"
else
  (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
  compdef _gantry gantry
fi
`;

const FISH = shell`# fish completion for gantry
# Load it with:  gantry completion fish | source

function __gantry_complete
    set -l typed (commandline -opc)
    set -l current (commandline -ct)
    set -l program $typed[1]
    set -l answer ($program __complete $typed[2..-1] "$current" 2>/dev/null)
    test (count $answer) -gt 0; or return
    set -l directive (string replace -r '^:' '' -- $answer[-1])
    string match -qr '^[0-9]+$' -- $directive; or set directive 0
    set -l stem (string match -r -- '^-.*?=' "$current")
    set -l rest (string replace -r -- '^-.*?=' '' "$current")
    set -l found 0
    for line in $answer[1..-2]
        test -n "$line"; or continue
        set found 1
        echo "$stem$line"
    end
    test $found = 1; and return
    if test (math "bitand($directive, 5)") -eq 0
        for path in $rest*
            if test -d $path
                echo "$stem$path/"
            else if test (math "bitand($directive, 16)") -eq 0
                echo "$stem$path"
            end
        end
    end
end

complete -c gantry -e
complete -c gantry -f -a '(__gantry_complete)'
`;

export const SHELL_SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH };
