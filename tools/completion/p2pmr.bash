# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# Completion of p2pmr for bash.

_p2pmr_functions()
{
	local function
	for function in /sys/bus/pci/devices/*; do
		echo "${function##*/}"
	done
}

_p2pmr_names_in()
{
	local path
	for path in "$1"/*; do
		[ -e "$path" ] && echo "${path##*/}"
	done
}

# The number of the operand under the cursor, counted from 0.
_p2pmr_operand()
{
	local i number=0
	for ((i = 2; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == -* ]] || ((number++))
	done
	echo "$number"
}

_p2pmr_offer()
{
	local word
	# By lines, since PCI addresses have colons in them.
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2")
	[[ $2 == *:* && $COMP_WORDBREAKS == *:* ]] || return
	for word in "${!COMPREPLY[@]}"; do
		COMPREPLY[word]=${COMPREPLY[word]#"${2%"${2##*:}"}"}
	done
}

_p2pmr()
{
	# What may stand before the command is out of the way of all that follows.
	if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} == @(-j|--json) ]]; then
		COMP_WORDS=("${COMP_WORDS[0]}" "${COMP_WORDS[@]:2}")
		((COMP_CWORD--))
	fi
	local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} options
	COMPREPLY=()
	# Bash has cut an address at its colons: its beginning is in the words before.
	if [[ $COMP_WORDBREAKS == *:* ]]; then
		local line=${COMP_LINE:0:COMP_POINT}
		current=${line##*[[:space:]]}
	fi

	if ((COMP_CWORD == 1)); then
		_p2pmr_offer "status bars mr query test doctor exec monitor \
--json --help --version" "$current"
		return
	fi
	case $command in
	status|bars|query|doctor)
		options="--json --help" ;;
	mr)
		options="--all --watch --interval --count --json --help" ;;
	test)
		options="--device --create-device --offset --length \
--write-combining --registers --json --help" ;;
	exec)
		options="--dmabuf --help" ;;
	monitor)
		options="--count --json --help" ;;
	*)
		return ;;
	esac
	if [[ $current == -* ]]; then
		_p2pmr_offer "$options" "$current"
		return
	fi
	case $command:${COMP_WORDS[COMP_CWORD - 1]} in
	test:-d|test:--device)
		_p2pmr_offer "$(_p2pmr_names_in /sys/class/infiniband)" "$current" ;;
	test:-c|test:--create-device)
		_p2pmr_offer "$(_p2pmr_names_in /sys/class/net)" "$current" ;;
	exec:exec|exec:--|exec:-d|exec:--dmabuf)
		mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
	query:query)
		_p2pmr_offer "self $(_p2pmr_names_in /proc | grep -x '[0-9]*')" "$current" ;;
	test:*|bars:*)
		if [[ $command == test && $current =~ ^[0-5]?$ &&
			$(_p2pmr_operand) -gt 0 ]]; then
			_p2pmr_offer "0 1 2 3 4 5" "$current"
		else
			_p2pmr_offer "$(_p2pmr_functions)" "$current"
		fi ;;
	esac
}

complete -o default -F _p2pmr p2pmr
