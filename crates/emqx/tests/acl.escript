#!/usr/bin/env escript
%% Reads an ACL file with file:consult/1, as EMQX does, and tells for each line "USER TAB ACTION TAB TOPIC" of standard input what the
%% first rule that matches says; by what EMQX's documents say of rules, filters and no_match = deny.

main([File]) ->
    {ok, Rules} = file:consult(File),
    answer(Rules).

answer(Rules) ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [User, Action, Topic] = string:split(string:chomp(Line), "\t", all),
            io:format("~s~n", [decide(User, list_to_atom(Action), levels(Topic), Rules)]),
            answer(Rules)
    end.

decide(_User, _Action, _Topic, []) -> deny;
decide(_User, _Action, _Topic, [{Permission, all} | _]) -> Permission;
decide(User, Action, Topic, [{Permission, {username, Who}, Actions, Filters} | Rules]) ->
    Matches = Who =:= User andalso (Actions =:= all orelse Actions =:= Action)
        andalso lists:any(fun(Filter) -> matches(Topic, levels(Filter)) end, Filters),
    case Matches of
        true -> Permission;
        false -> decide(User, Action, Topic, Rules)
    end.

levels(Topic) -> string:split(Topic, "/", all).

matches([[$$ | _] | _], [Wildcard | _]) when Wildcard =:= "#"; Wildcard =:= "+" -> false;
matches(Topic, Filter) -> within(Topic, Filter).

within([], []) -> true;
within(_, ["#"]) -> true;
within([Level | Topic], [Level | Filter]) -> within(Topic, Filter);
within([_ | Topic], ["+" | Filter]) -> within(Topic, Filter);
within(_, _) -> false.
